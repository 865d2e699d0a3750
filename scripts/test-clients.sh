#!/usr/bin/env bash
# What `make test-clients` runs: clients that others wrote, against a real `devtrail up`, one after another.
# Arguments name some of them (python, javascript, wakatime, readers, openapi, curl).
# DEVTRAIL_TEST_SEED gives the property-based run of `openapi` another seed.
# The last line printed is the verdict; the exit code agrees.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make=test-clients
. scripts/lib.sh

clients=("$@")
if [ $# -eq 0 ]; then
  clients=(python javascript wakatime readers openapi)
  if command -v curl >/dev/null; then clients+=(curl); else echo "docs/http-api.md is not pasted: there is no curl"; fi
fi
seed=${DEVTRAIL_TEST_SEED:-20261124}
here=$PWD/tests/clients
tools=$PWD/.tools/clients
results=$PWD/target/clients
venv=$tools/venv node=$tools/node readers=$PWD/target/clients/rust
python=$venv/bin/python

missing() {
  echo "make test-clients: $1 is missing;" \
    "it needs Rust, Python 3.11 or newer with pip, and Node 20 or newer with npm" >&2
}
# shellcheck disable=SC2329 # called through `step`
look_for_tools() { # every one that is missing is named
  local good=0
  command -v cargo >/dev/null || { missing "Rust (cargo)"; good=1; }
  # Pinned packages need 3.11; pip installs into another environment (`--python`) from 22.3 on.
  python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { missing "Python 3.11"; good=1; }
  python3 -c 'import pip; raise SystemExit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' 2>/dev/null ||
    { missing "pip 22.3"; good=1; }
  node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { missing "Node 20"; good=1; }
  npm --version >/dev/null 2>&1 || { missing "npm"; good=1; }
  return "$good"
}
# shellcheck disable=SC2329 # called through `step`
get_python_clients() { # without the venv's own pip, which not every Python can put there
  local wanted installed=$venv/installed.txt
  wanted=$(python3 -c 'import sys; print(sys.version)' && cat "$here/python/requirements.txt")
  [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ] || return 0
  rm -rf "$venv"
  python3 -m venv --without-pip "$venv" || return 1
  python3 -m pip --python "$python" install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --only-binary :all: -r "$here/python/requirements.txt" || return 1
  printf '%s\n' "$wanted" >"$installed"
}
# shellcheck disable=SC2329 # called through `step`
get_javascript_clients() {
  ! cmp -s "$here/node/package-lock.json" "$node/installed.json" || return 0
  mkdir -p "$node"
  cp "$here/node/package.json" "$here/node/package-lock.json" "$node/"
  (cd "$node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || return 1
  cp "$here/node/package-lock.json" "$node/installed.json"
}
# shellcheck disable=SC2329 # called through `step`
get_rust_clients() {
  cargo build --manifest-path "$here/rust/Cargo.toml" --target-dir "$readers" --locked
}

passed=0 failed=0
run() { # run CLIENT COMMAND...: the command writes its results as JUnit into $results/CLIENT.xml
  local client=$1 began=$SECONDS status=0 good=0 bad=0
  shift
  echo "== $client"
  # From the temporary folder: some of the tools write files into the current one.
  (cd "$tmp" && env "$mark" "$@") || status=$?
  [ ! -f "$results/$client.xml" ] || read -r good bad < <(python3 "$here/tally.py" "$client" "$results/$client.xml")
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; }; then
    echo "$client failed outside a test: exit code $status, $good tests passed (see above)"
    bad=1
  fi
  nothing_left || bad=$((bad + 1))
  echo "   $client: $good passed, $bad failed, $((SECONDS - began)) s"
  passed=$((passed + good)) failed=$((failed + bad))
}

run_python() {
  run python "$python" -m pytest "${pytest[@]}" --junit-xml "$results/python.xml" "$here/python/test_cloudevents.py"
}
run_wakatime() {
  run wakatime "$python" -m pytest "${pytest[@]}" --junit-xml "$results/wakatime.xml" "$here/python/test_wakatime.py"
}
run_readers() { # clients of WakaTime's interface, in Python, Rust and JavaScript
  DEVTRAIL_READERS=$readers/debug/wakatime-readers run readers "$python" -m pytest "${pytest[@]}" \
    --junit-xml "$results/readers.xml" "$here/python/test_wakatime_reads.py"
}
run_javascript() {
  run javascript "${up[@]}" node --test --test-reporter spec --test-reporter-destination stdout \
    --test-reporter junit --test-reporter-destination "$results/javascript.xml" "$here/node/cloudevents.test.cjs"
}
run_openapi() { # a test for each operation of the document, with every check
  echo "openapi: the seed is $seed (DEVTRAIL_TEST_SEED)"
  # shellcheck disable=SC2016 # the inner shell knows them
  SCHEMATHESIS_HOOKS=$here/openapi/hooks.py run openapi "${up[@]}" \
    sh -c 'exec "$@" -H "Authorization: Bearer $DEVTRAIL_KEY" "$DEVTRAIL_URL/openapi.json"' sh \
    "$venv/bin/st" --config-file "$here/openapi/schemathesis.toml" run \
    --checks all --max-examples 60 --seed "$seed" --generation-database none --continue-on-failure --no-color \
    --report junit --report-junit-path "$results/openapi.xml"
}
run_curl() { # pastes docs/http-api.md
  run curl "${up[@]}" "$python" -m pytest "${pytest[@]}" --junit-xml "$results/curl.xml" "$here/python/test_http_api.py"
}
for client in "${clients[@]}"; do
  if ! declare -F "run_$client" >/dev/null; then
    echo "make test-clients: there is no client '$client';" \
      "choose from python, javascript, wakatime, readers, openapi, curl" >&2
    finish 0 1
  fi
done

tmp=
cleanup() {
  kill_marked
  [ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step "tools" look_for_tools
step "nats-server" get_nats_server
step "cargo build" cargo build --workspace --bins "${features[@]}" --locked
step "python clients" get_python_clients
step "javascript clients" get_javascript_clients
[[ " ${clients[*]} " != *" readers "* ]] || step "rust clients" get_rust_clients

tmp=$(mktemp -d)
mkdir -p "$results"
rm -f "$results"/*.xml # of the last run
pytest=(-p no:cacheprovider --verbose --no-header)
up=("$python" "$here/python/harness.py" with)
export DEVTRAIL_BIN=$PWD/target/debug DEVTRAIL_PYTHON=$python NODE_PATH=$node/node_modules TMPDIR=$tmp
export PYTHONDONTWRITEBYTECODE=1 NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 # loopback: never through a proxy
# They belong to another Devtrail.
unset DEVTRAIL_NATS_URL DEVTRAIL_NATS_MONITOR_URL DEVTRAIL_DATABASE_URL DEVTRAIL_URL DEVTRAIL_KEY_FILE DEVTRAIL_CONFIG

for client in "${clients[@]}"; do
  "run_$client"
done
rm -rf "$tmp"
trap - EXIT # nothing may be printed after the verdict
finish "$passed" "$failed"
