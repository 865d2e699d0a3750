# shellcheck shell=bash
# What the scripts of the Makefile share. Source it from the project's root, with `make` set to the name of the target.

# The tests kill processes at named points, which no release has (common/runtime/src/crash.rs). Every script builds
# with the same features, so that nothing is built twice.
# shellcheck disable=SC2034 # used by the scripts
features=(--features devtrail-workers/crash-points)

finish() { # finish PASSED FAILED: the verdict, the last line printed
  if [ "$2" -eq 0 ]; then echo "test result: ok. $1 passed; 0 failed"; exit 0; fi
  echo "test result: FAILED. $1 passed; $2 failed"
  exit 1
}
step() { # step NAME COMMAND...: a failed step ends the run
  local name=$1 began=$SECONDS
  shift
  echo "== $name"
  if ! "$@"; then
    echo "make ${make:?}: the step '$name' failed"
    finish 0 1
  fi
  echo "   $name: $((SECONDS - began)) s"
}
get_nats_server() {
  DEVTRAIL_NATS_SERVER=$(scripts/nats-server.sh) && export DEVTRAIL_NATS_SERVER && echo "$DEVTRAIL_NATS_SERVER"
}

# Processes started by the tests inherit this mark in their environment, also after their parents have ended.
mark="DEVTRAIL_TEST_RUN=$$-$(date +%s)-$RANDOM"
marked() { # pids of living processes that carry the mark
  {
    if [ -d /proc/self ]; then
      grep -aszxFl "$mark" /proc/[0-9]*/environ | cut -d/ -f3
    else
      # No grep here: `ps` would show the mark among grep's own arguments.
      ps eww -ax -o pid= -o command= | while read -r pid command; do
        case "$command" in *"$mark"*) echo "$pid" ;; esac
      done
    fi
  } | grep -vx "$$" || true
}
command_of() {
  if [ -r "/proc/$1/cmdline" ]; then tr '\0' ' ' <"/proc/$1/cmdline"; else ps -o args= -p "$1"; fi
}
kill_marked() { # names and kills them; three times, as one may have started another meanwhile
  local pid pids
  for _ in 1 2 3; do
    pids=$(marked)
    [ -n "$pids" ] || return 0
    for pid in $pids; do
      echo "   killing $pid: $(command_of "$pid" 2>/dev/null || true)"
      kill -KILL "$pid" 2>/dev/null || true
    done
    sleep 0.2
  done
}
nothing_left() { # succeeds if the tests left no process; else names and kills them
  for _ in $(seq 25); do # what is ending has five seconds
    [ -n "$(marked)" ] || return 0
    sleep 0.2
  done
  echo "the tests left processes running:"
  kill_marked
  return 1
}
