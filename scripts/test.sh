#!/usr/bin/env bash
# What `make test` runs: format, lints, build, every test, and a look for processes that the tests left behind.
# Arguments go to `cargo test`. The last line printed is the verdict; the exit code agrees.
# The tests use a PostgreSQL of the run's own (scripts/postgres.sh), or that of DEVTRAIL_TEST_POSTGRES.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make=test
. scripts/lib.sh

postgres=
# shellcheck disable=SC2329 # called through `step`
start_postgres() { # before the tests and without their mark: they do not leave it behind
  if [ -z "${DEVTRAIL_TEST_POSTGRES:-}" ]; then
    local started
    started=$(scripts/postgres.sh start) || return 1
    read -r postgres DEVTRAIL_TEST_POSTGRES <<<"$started"
    export DEVTRAIL_TEST_POSTGRES
  fi
  echo "$DEVTRAIL_TEST_POSTGRES" | sed 's#//[^/]*@#//***@#'
}
stop_postgres() {
  [ -z "$postgres" ] || scripts/postgres.sh stop "$postgres" || true
  postgres=
}
tmp=
cleanup() {
  kill_marked
  stop_postgres
  [ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "cargo fmt" cargo fmt --all --check
step "cargo clippy" cargo clippy --workspace --all-targets "${features[@]}" --locked -- -D warnings
step "nats-server" get_nats_server
step "cargo build" cargo build --workspace --bins "${features[@]}" --locked
step "postgres" start_postgres

echo "== cargo test $*"
began=$SECONDS
mkdir -p target
tmp=$(mktemp -d)
# A named pipe, not `| tee`: a process left behind keeps a pipe open, and the run would wait for it indefinitely.
mkfifo "$tmp/output"
tee target/test.log <"$tmp/output" &
tee=$!
status=0
env "$mark" cargo test --workspace "${features[@]}" --locked --no-fail-fast "$@" >"$tmp/output" 2>&1 || status=$?

left=0
nothing_left || left=1
for _ in $(seq 100); do
  kill -0 "$tee" 2>/dev/null || break
  sleep 0.1
done
if kill "$tee" 2>/dev/null; then
  left=1
  echo "something that the tests started, without their mark, still holds their output open"
fi
wait "$tee" || true

read -r passed failed ignored < <(awk '/^test result: / {
    for (i = 2; i <= NF; i++) {
      if ($i ~ /^passed/) passed += $(i - 1)
      if ($i ~ /^failed/) failed += $(i - 1)
      if ($i ~ /^ignored/) ignored += $(i - 1)
    }
  } END { print passed + 0, failed + 0, ignored + 0 }' target/test.log)
echo "   cargo test: $((SECONDS - began)) s, $ignored ignored, exit code $status"
if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then
  echo "cargo test failed outside a test (see above)"
  failed=1
fi
failed=$((failed + left))
if [ $# -eq 0 ]; then # every case of the store's contract must run on both engines
  sqlite=$(grep -cE '^test sqlite_engine::.* \.\.\. (ok|FAILED)' target/test.log || true)
  on_postgres=$(grep -cE '^test postgres_engine::.* \.\.\. (ok|FAILED)' target/test.log || true)
  echo "contract: sqlite $sqlite cases, postgres $on_postgres cases"
  if [ "$sqlite" -eq 0 ] || [ "$sqlite" -ne "$on_postgres" ]; then
    echo "the contract of the store did not run on both engines alike"
    failed=$((failed + 1))
  fi
fi
stop_postgres
trap 'rm -rf "$tmp"' EXIT # nothing may be printed after the verdict
if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
  echo "no test ran"
  failed=1
fi
finish "$passed" "$failed"
