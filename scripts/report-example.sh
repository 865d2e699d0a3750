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
bin=${BIN:-target/quick}
if [ -z "${BIN:-}" ]; then
  cargo build --profile quick --locked
fi

. scripts/deployment.sh
mkdir -p docs/report
start up "$bin/devtrail" up --data "$dir" --listen 127.0.0.1:0 --nats-port 0

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

wait_for "\`devtrail up\` is ready" ready
for developer in dev-edit-01 made-up; do
  echo "$developer $(devtrail keys create "$developer")" >>"$dir/keys"
done
gzip -dc tests/data/edits.ndjson.gz | devtrail send - --key-file "$dir/keys"
python3 scripts/made-up-week.py | devtrail send - --key-file "$dir/keys"
wait_for "all metrics are computed" completed

devtrail metrics report dev-edit-01 --week 2020-W39 -o docs/report/real-week.html \
  --note "A real week, recorded by Joseph Gentle (josephg/editing-traces, CC BY 4.0). Its times are in UTC."
devtrail metrics report made-up --week 2026-W10 -o docs/report/made-up-week.html \
  --note "This week is made up (scripts/made-up-week.py): nobody worked it."
