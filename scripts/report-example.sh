#!/usr/bin/env bash
# Makes the pages of docs/report/, as docs/report.md says. It starts Devtrail on a temporary folder, sends it the
# edits that somebody recorded (tests/data) and a week that is made up, waits until their metrics are computed, and
# writes a page of each. BIN names the folder of programs that are built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset DEVTRAIL_NATS_URL DEVTRAIL_NATS_MONITOR_URL DEVTRAIL_URL DEVTRAIL_KEY_FILE DEVTRAIL_DATABASE_URL
bound=120 # seconds that a wait may take

DEVTRAIL_NATS_SERVER=$(scripts/nats-server.sh)
export DEVTRAIL_NATS_SERVER
if [ -z "${BIN:-}" ]; then
  BIN=target/quick
  cargo build --profile quick --locked
fi

dir=$(mktemp -d)
mkdir -p docs/report
"$BIN/devtrail" up --data "$dir" --listen 127.0.0.1:0 --nats-port 0 >"$dir/up.log" 2>&1 </dev/null &
up=$!
# shellcheck disable=SC2329 # called by the trap
cleanup() {
  kill -TERM "$up" 2>/dev/null || true
  wait "$up" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

devtrail() { "$BIN/devtrail" "$@" --data "$dir"; }
wait_for() { # wait_for WHAT COMMAND...: until the command succeeds
  local what=$1 deadline=$((SECONDS + bound))
  shift
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$deadline" ] || ! kill -0 "$up" 2>/dev/null; then
      echo "report-example: $what did not happen within $bound s; the end of what was logged:" >&2
      tail -n 20 "$dir/up.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}
# shellcheck disable=SC2329 # called through `wait_for`
ready() { # the collector would take a batch
  python3 - "$dir/addresses.json" <<'PYTHON'
import json, sys, urllib.request
with open(sys.argv[1]) as file:
    url = json.load(file)["collector"]
here = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
here.open(url + "/health/ready", timeout=2).read()
PYTHON
}
# shellcheck disable=SC2329 # called through `wait_for`
completed() { # every batch that was sent is stored, and its jobs are done
  devtrail status --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
sent = sum(stream["messages"] for stream in status["streams"] if stream["name"] == "EVENTS")
waiting = sum(one["pending"] + one["ack_pending"] for one in status["consumers"])
batches = status["store"]["batches"]
sys.exit(not (batches.get("completed", 0) == sum(batches.values()) >= sent and not waiting))'
}

wait_for "that \`devtrail up\` is ready" ready
for developer in dev-edit-01 made-up; do
  echo "$developer $(devtrail keys create "$developer")" >>"$dir/keys"
done
gzip -dc tests/data/edits.ndjson.gz | devtrail send - --key-file "$dir/keys"
python3 scripts/made-up-week.py | devtrail send - --key-file "$dir/keys"
wait_for "that all metrics are computed" completed

devtrail metrics report dev-edit-01 --week 2020-W39 -o docs/report/real-week.html \
  --note "A real week, recorded by Joseph Gentle (josephg/editing-traces, CC BY 4.0). Its times are in UTC."
devtrail metrics report made-up --week 2026-W10 -o docs/report/made-up-week.html \
  --note "This week is made up (scripts/made-up-week.py): nobody worked it."
