#!/usr/bin/env bash
# What `make demo` runs: starts Devtrail on a temporary folder, sends it the real input of tests/data
# (a part of it twice), and shows that every event is stored once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
devtrail=target/release/devtrail
input=(tests/data/commits.ndjson.gz tests/data/edits.ndjson.gz)
how=(--clients 8 --resend 10 --overlap 7) # eight at once, every tenth batch twice, every seventh as two that overlap

DEVTRAIL_NATS_SERVER=$(scripts/nats-server.sh)
export DEVTRAIL_NATS_SERVER
cargo build --release --locked
began=$SECONDS # the build does not count

dir=$(mktemp -d)
up=
cleanup() {
  trap '' INT TERM
  if [ -n "$up" ]; then
    kill -TERM "$up" 2>/dev/null || true
    for _ in $(seq 150); do # its own bound for an orderly end is 10 s
      kill -0 "$up" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$up" 2>/dev/null || true # whatever of its process group is still there
    wait "$up" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

ready() { # addresses.json is there, and the collector it names would take a batch
  python3 - "$dir/addresses.json" 2>/dev/null <<'PYTHON'
import json, sys, urllib.request
with open(sys.argv[1]) as file:
    url = json.load(file)["collector"]
here = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
here.open(url + "/health/ready", timeout=2).read()
PYTHON
}
give_up() {
  echo "demo: devtrail up $1; the end of its log:" >&2
  tail -n 20 "$dir/up.log" >&2
  exit 1
}
show() { echo "\$ devtrail $*"; "$devtrail" "$@"; }

echo "\$ devtrail up --data $dir --listen 127.0.0.1:0 --nats-port 0 &"
set -m # its own process group: Ctrl-C ends this script, which then stops it in order
"$devtrail" up --data "$dir" --listen 127.0.0.1:0 --nats-port 0 >"$dir/up.log" 2>&1 </dev/null &
up=$!
set +m
deadline=$((SECONDS + 60))
until ready; do
  kill -0 "$up" 2>/dev/null || give_up "has ended"
  [ "$SECONDS" -lt "$deadline" ] || give_up "was not ready within 60 s"
  sleep 0.2
done

python3 - "${input[@]}" >"$dir/people" <<'PYTHON'
import gzip, json, sys
people = {json.loads(line)["developer"] for path in sys.argv[1:] for line in gzip.open(path, "rt", encoding="utf-8")}
print("\n".join(sorted(people)))
PYTHON
echo "\$ devtrail keys create --data $dir --from-file $dir/people > $dir/keys"
"$devtrail" keys create --data "$dir" --from-file "$dir/people" >"$dir/keys"
echo "\$ gzip -dc ${input[*]} | devtrail send - --data $dir --key-file $dir/keys ${how[*]}"
gzip -dc "${input[@]}" | "$devtrail" send - --data "$dir" --key-file "$dir/keys" "${how[@]}"
show status --data "$dir"
show verify --data "$dir"
echo "demo: done in $((SECONDS - began)) s"
