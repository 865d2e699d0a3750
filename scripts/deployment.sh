# shellcheck shell=bash
# A Devtrail on a temporary folder, `dir`: its processes, and what waits for them. Source it from the project's root,
# with `bin` set to the folder of the programs and `bound` to the seconds that a wait may take. It traps EXIT, INT and
# TERM.

dir=$(mktemp -d)
names=() pids=() # in the order of their start; dependencies first
start() { # start NAME COMMAND...: in a process group of its own (Ctrl-C is for this script), output in NAME.log
  local name=$1
  shift
  set -m
  "$@" >"$dir/$name.log" 2>&1 </dev/null &
  set +m
  names+=("$name") pids+=("$!")
}
stop() { # stop PID...: in order; kills what has not ended within 15 s
  local pid
  for pid; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid; do
    for _ in $(seq 150); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true # what is left of its process group
    wait "$pid" 2>/dev/null || true
  done
}
# shellcheck disable=SC2329 # called by the trap
cleanup() {
  trap '' INT TERM
  if [ "${#pids[@]}" -gt 0 ]; then
    [ "${#pids[@]}" -eq 1 ] || stop "${pids[@]:1}"
    stop "${pids[0]}" # nats-server, or `up` that stops its own last
  fi
  rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { # fail REASON [NAME...]: with the end of these logs
  echo "${0##*/}: $1; the end of what was logged:" >&2
  local name
  for name in "${@:2}"; do
    echo "== $name" >&2
    tail -n 20 "$dir/$name.log" >&2
  done
  exit 1
}
all_run() {
  local index
  for index in "${!pids[@]}"; do
    kill -0 "${pids[$index]}" 2>/dev/null || fail "${names[$index]} has ended" "${names[$index]}"
  done
}
wait_for() { # wait_for WHAT COMMAND...: until the command succeeds, within $bound s
  local what=$1 deadline=$((SECONDS + bound))
  shift
  until "$@" >/dev/null 2>&1; do
    all_run
    [ "$SECONDS" -lt "$deadline" ] || fail "waited $bound s until $what: it did not happen" "${names[@]}"
    sleep 0.2
  done
}
devtrail() { "$bin/devtrail" "$@" --data "$dir"; }
# shellcheck disable=SC2329 # called through `wait_for`
ready() { # addresses.json is there, and the collector it names would take a batch
  python3 - "$dir/addresses.json" <<'PYTHON'
import json, sys, urllib.request
with open(sys.argv[1]) as file:
    url = json.load(file)["collector"]
here = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback: never through a proxy
here.open(url + "/health/ready", timeout=2).read()
PYTHON
}
