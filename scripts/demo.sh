#!/usr/bin/env bash
# What `make demo` runs. It starts Devtrail on a temporary folder and sends it the real input of tests/data, a
# part of it twice. It waits until every batch is completed, and shows the results.
# On SQLite that is one process, `devtrail up`. With DEVTRAIL_DATABASE_URL=postgres://… (best an empty database)
# it is one process per part and two per role. The line that begins with `metrics:` is the same on both.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset DEVTRAIL_NATS_URL DEVTRAIL_NATS_MONITOR_URL DEVTRAIL_URL DEVTRAIL_KEY_FILE # they belong to another Devtrail
bin=target/quick
input=(tests/data/commits.ndjson.gz tests/data/edits.ndjson.gz)
how=(--clients 8 --resend 10 --overlap 7) # eight at once, every tenth batch twice, every seventh as two that overlap
roles=(persist aggregate normalize alert)
each=2                        # processes of each role, on Postgres
bound=60 complete_bound=300   # seconds: that a wait for a start may take, and the completion

DEVTRAIL_NATS_SERVER=$(scripts/nats-server.sh)
export DEVTRAIL_NATS_SERVER
cargo build --profile quick --locked
began=$SECONDS # the build does not count

. scripts/deployment.sh
show() {
  echo "\$ devtrail $*"
  devtrail "$@"
}

# shellcheck disable=SC2329 # called through `wait_for`
addresses() { # writes addresses.json as `up` does: the ports that nats-server took, a free one for the collector
  python3 - "$dir/nats-server_${pids[0]}.ports" "$dir/addresses.json" <<'PYTHON'
import json, os, socket, sys
with open(sys.argv[1]) as file:
    ports = json.load(file)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    collector = "http://127.0.0.1:%d" % free.getsockname()[1]
addresses = {"collector": collector, "nats": ports["nats"][0], "monitor": ports["monitoring"][0]}
with open(sys.argv[2] + ".new", "w") as file:
    json.dump(addresses, file)
os.rename(sys.argv[2] + ".new", sys.argv[2])
PYTHON
}
address() {
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/addresses.json" "$1"
}
# shellcheck disable=SC2329 # called through `wait_for`
workers_alive() { # as many as were started are in the registry
  devtrail status --json | python3 -c 'import json, sys
sys.exit(len(json.load(sys.stdin)["workers"]) < int(sys.argv[1]))' "$((each * ${#roles[@]}))"
}

start_in_one_process() {
  echo "\$ devtrail up --data $dir --listen 127.0.0.1:0 --nats-port 0 &"
  start up "$bin/devtrail" up --data "$dir" --listen 127.0.0.1:0 --nats-port 0
  wait_for "\`devtrail up\` is ready" ready
}
start_as_processes() { # the database's URL, which may hold a password, stays in the environment
  local role number
  echo "\$ nats-server -c nats/server.conf -a 127.0.0.1 -p -1 -m -1 -sd $dir/nats &"
  start nats-server "$DEVTRAIL_NATS_SERVER" -c nats/server.conf -a 127.0.0.1 -p -1 -m -1 -sd "$dir/nats" \
    --ports_file_dir "$dir"
  wait_for "nats-server listens" addresses
  DEVTRAIL_NATS_URL=$(address nats) DEVTRAIL_NATS_MONITOR_URL=$(address monitor) DEVTRAIL_LISTEN=$(address collector)
  export DEVTRAIL_NATS_URL DEVTRAIL_NATS_MONITOR_URL DEVTRAIL_LISTEN=${DEVTRAIL_LISTEN#http://}
  show streams apply
  echo "\$ devtrail-collector &"
  start collector "$bin/devtrail-collector"
  for role in "${roles[@]}"; do
    for number in $(seq "$each"); do
      echo "\$ devtrail-worker $role &"
      start "$role-$number" "$bin/devtrail-worker" "$role"
    done
  done
  wait_for "the collector is ready" ready
  wait_for "every worker is alive" workers_alive
}
case "${DEVTRAIL_DATABASE_URL:-}" in
  postgres://* | postgresql://*) start_as_processes ;;
  *) start_in_one_process ;;
esac

busiest=$(python3 - "$dir/people" "${input[@]}" <<'PYTHON'
import collections, gzip, json, sys
people = collections.Counter(
    json.loads(line)["developer"] for path in sys.argv[2:] for line in gzip.open(path, "rt", encoding="utf-8")
)
with open(sys.argv[1], "w") as file:
    file.writelines(name + "\n" for name in sorted(people))
print(people.most_common(1)[0][0])
PYTHON
)
echo "\$ devtrail keys create --from-file $dir/people --data $dir > $dir/keys"
devtrail keys create --from-file "$dir/people" >"$dir/keys"
echo "\$ gzip -dc ${input[*]} | devtrail send - --key-file $dir/keys ${how[*]} --data $dir"
gzip -dc "${input[@]}" | devtrail send - --key-file "$dir/keys" "${how[@]}"

progress() { # prints the progress of the batches; exit code 0: all completed, 1: some pending, 2: some failed
  devtrail status --json | python3 -c '
import json, sys
status = json.load(sys.stdin)
sent = sum(stream["messages"] for stream in status["streams"] if stream["name"] == "EVENTS")
waiting = sum(one["pending"] + one["ack_pending"] for one in status["consumers"])
batches = status["store"]["batches"]
completed, failed = batches.get("completed", 0), batches.get("failed", 0)
others = sum(batches.values()) - completed - failed
print(f"batches: {completed} completed, {others} pending, {failed} failed; {waiting} messages wait")
# Completed may be more than was sent: an earlier run on the same database.
if completed >= sent and not (others or failed or waiting):
    sys.exit(0)
sys.exit(2 if failed and not (others or waiting) else 1)'
}
deadline=$((SECONDS + complete_bound)) shown=
while :; do
  far=0
  now=$(progress) || far=$?
  [ "$now" = "$shown" ] || echo "$now"
  shown=$now
  [ "$far" -ne 0 ] || break
  [ "$far" -ne 2 ] || fail "some batches have failed" "${names[@]}"
  all_run
  [ "$SECONDS" -lt "$deadline" ] || fail "not every batch was completed within $complete_bound s" "${names[@]}"
  sleep 1
done

show status
show trace seq:1 --limit 1
show metrics show "$busiest"
show alerts list --limit 10
first='import json, sys; print(json.load(sys.stdin)[0]["alert_id"])'
alert=$(devtrail alerts list --limit 1 --json | python3 -c "$first")
show alerts show "$alert"
show verify
devtrail metrics show --all --json | python3 -c '
import hashlib, json, sys
days = json.load(sys.stdin)
people = {day["developer"] for day in days}
text = json.dumps(days, sort_keys=True, separators=(",", ":"))
print(f"metrics: {len(days)} days of {len(people)} developers, sha256 {hashlib.sha256(text.encode()).hexdigest()}")'
echo "demo: done in $((SECONDS - began)) s"
