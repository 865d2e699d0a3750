#!/usr/bin/env bash
# What `make bench`, `make bench-quick` and `make bench-long` run. Builds everything, starts a Postgres that syncs, and
# measures. The arguments go to devtrail-bench; `devtrail-bench --help` lists them.
# The build is that of packages, and takes long. With --quick, whose figures are never written, it is the quick one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEVTRAIL_NATS_SERVER=$(scripts/nats-server.sh)
export DEVTRAIL_NATS_SERVER
profile=release
features=(--features devtrail-runtime/jemalloc)
for argument in "$@"; do
  if [ "$argument" = --quick ]; then profile=quick features=(); fi
done
cargo build --profile "$profile" --locked --workspace --bins "${features[@]}"

read -r dir DEVTRAIL_TEST_POSTGRES < <(scripts/postgres.sh start --fsync bench)
export DEVTRAIL_TEST_POSTGRES
trap 'scripts/postgres.sh stop "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
"target/$profile/devtrail-bench" "$@"
