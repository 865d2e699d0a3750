#!/usr/bin/env bash
# What `make chaos` runs: seeds of faults on each store, Postgres away for a minute, a cluster that loses its leader,
# and a soak. Every run's figures go to target/chaos/ as JSON.
#   SEEDS=20          seeds 1 to 20 on each store
#   FROM=1            the first seed
#   SECONDS_EACH=30   how long load and faults last for each seed
#   ENGINE=both       or sqlite, postgres
#   SOAK=10m          one long run per store; empty: none
#   DOCS=1            renew the table in docs/reliability.md if no run failed
# To run one seed again:
#   DEVTRAIL_FAULTS_SEED=7 DEVTRAIL_FAULTS_SECONDS=30 cargo test … --test faults -- --nocapture sqlite::
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make=chaos
. scripts/lib.sh

seeds=${SEEDS:-20} from=${FROM:-1} each=${SECONDS_EACH:-30} soak=${SOAK-10m}
case ${ENGINE:-both} in
  both) engines="sqlite postgres" ;;
  sqlite | postgres) engines=$ENGINE ;;
  *) echo "chaos.sh: ENGINE is sqlite, postgres or both, not $ENGINE" >&2; exit 2 ;;
esac
in_seconds() { # in_seconds 10m
  case $1 in *m) echo $((${1%m} * 60)) ;; *h) echo $((${1%h} * 3600)) ;; *) echo "${1%s}" ;; esac
}

step "nats-server" get_nats_server
step "cargo build" cargo build --workspace --bins "${features[@]}" --locked
build() {
  program=$(cargo test --workspace "${features[@]}" --locked --test faults --no-run --message-format=json 2>/dev/null \
    | python3 -c 'import json, sys
for line in sys.stdin:
    one = json.loads(line)
    if one.get("executable") and one["target"]["name"] == "faults":
        print(one["executable"])')
  [ -n "$program" ]
}
step "the suite" build

DEVTRAIL_FAULTS_FIGURES=$PWD/target/chaos
DEVTRAIL_FAULTS_LOGS=$PWD/target/chaos/logs
export DEVTRAIL_FAULTS_FIGURES DEVTRAIL_FAULTS_LOGS
mkdir -p "$DEVTRAIL_FAULTS_LOGS"
rm -f target/chaos/*.json # figures of an earlier run would count as this one's
trap kill_marked EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

passed=0 failed=0 failures=()
run() { # run NAME SETTING... -- FILTER
  local name=$1 began=$SECONDS settings=()
  shift
  while [ "$1" != -- ]; do settings+=("$1"); shift; done
  if env "$mark" "${settings[@]}" "$program" --nocapture "$2" >"target/chaos/$name.out" 2>&1 \
    && grep -q '^test result: ok\. [1-9]' "target/chaos/$name.out"; then
    passed=$((passed + 1))
    echo "   $name: ok, $((SECONDS - began)) s"
  else
    failed=$((failed + 1)) failures+=("$name")
    echo "   $name: FAILED, see target/chaos/$name.out"
    # A finding of the judge, else what ended the run, such as a harness that timed out.
    grep -m1 -A5 ' findings, ' "target/chaos/$name.out" || grep -m1 -A5 'panicked at' "target/chaos/$name.out" \
      || tail -5 "target/chaos/$name.out"
  fi
}
for engine in $engines; do
  echo "== $engine"
  for seed in $(seq "$from" $((from + seeds - 1))); do
    run "seeds-$engine-$seed" DEVTRAIL_FAULTS_SEED="$seed" DEVTRAIL_FAULTS_SECONDS="$each" -- "$engine::"
  done
  [ -z "$soak" ] || run "soak-$engine" DEVTRAIL_FAULTS_TITLE=soak DEVTRAIL_FAULTS_SEED="$from" \
    DEVTRAIL_FAULTS_SECONDS="$(in_seconds "$soak")" -- "$engine::"
done
echo "== others"
case $engines in *postgres*) run "store-away" DEVTRAIL_FAULTS_AWAY=60 -- postgres_outage:: ;; esac
run "cluster" -- cluster::
[ "$failed" -eq 0 ] || echo "failed: ${failures[*]}"
if [ -n "${DOCS:-}" ]; then
  if [ "$failed" -gt 0 ]; then
    echo "docs/reliability.md keeps its table: $failed of $((passed + failed)) runs failed"
  elif ! python3 scripts/chaos-table.py target/chaos docs/reliability.md "$passed"; then
    failed=$((failed + 1))
  fi
fi
finish "$passed" "$failed"
