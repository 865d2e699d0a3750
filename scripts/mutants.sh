#!/usr/bin/env bash
# What `make mutants` runs. Each patch in tests/mutants/ breaks one promise. On a copy of the sources, the tests that it
# names must pass without it and fail with it. Arguments name some of them (parts of file names).
# A run of all renews docs/mutants.md. The last line printed is the verdict; the exit code agrees.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

make=mutants
. scripts/lib.sh

patches=()
for patch in "$PWD"/tests/mutants/*.patch; do
  if [ $# -eq 0 ]; then patches+=("$patch"); continue; fi
  for wanted in "$@"; do
    case "${patch##*/}" in *"$wanted"*) patches+=("$patch"); break ;; esac
  done
done
[ "${#patches[@]}" -gt 0 ] || { echo "make mutants: no patch in tests/mutants is called like: $*" >&2; exit 2; }

copy=$PWD/target/mutants/source
logs=$PWD/target/mutants/logs
table=$PWD/target/mutants/table.md
export CARGO_TARGET_DIR=$PWD/target/mutants/target
# git resolves paths from the root of the repository it is in; the copy must be in none.
export GIT_CEILING_DIRECTORIES=$PWD/target/mutants
longest=900 # seconds for one run: a mutant may hang

postgres=
# shellcheck disable=SC2329 # called through `step`
start_postgres() {
  [ -z "${DEVTRAIL_TEST_POSTGRES:-}" ] || return 0
  local started
  started=$(scripts/postgres.sh start) || return 1
  read -r postgres DEVTRAIL_TEST_POSTGRES <<<"$started"
  export DEVTRAIL_TEST_POSTGRES
}
# shellcheck disable=SC2329 # called by the trap
cleanup() {
  kill_marked
  [ -z "$postgres" ] || (cd "$here" && scripts/postgres.sh stop "$postgres") || true
}
here=$PWD
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck disable=SC2329 # called through `step`
copy_sources() {
  rm -rf "$copy"
  mkdir -p "$copy" "$logs"
  git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done | tar --null -T - -cf - | tar -xf - -C "$copy"
  # The last build may be newer than the sources, and of a mutant.
  find "$copy" -name '*.rs' -exec touch {} +
}
field() { sed -n "s/^$2: //p;/^diff /q" "$1"; } # a line of a patch's head
in_copy() { (cd "$copy" && env "$mark" timeout "$longest" "$@" </dev/null); }
build() { # build LOG ARGUMENTS...: the programs and the tests; a mutant that does not compile shows nothing
  local log=$1
  shift
  if [ "${1:-}" = -p ]; then
    in_copy cargo test --locked "$@" --no-run
  else
    in_copy cargo build --workspace --bins "${features[@]}" --locked &&
      in_copy cargo test --workspace "${features[@]}" --locked "$@" --no-run
  fi >>"$log" 2>&1
}
tests() { # tests LOG ARGUMENTS...: what a patch names under Run; one crate's tests, or end-to-end ones
  local log=$1 of=()
  shift
  [ "${1:-}" = -p ] || of=(--workspace "${features[@]}")
  in_copy cargo test "${of[@]}" --locked --no-fail-fast "$@" >>"$log" 2>&1
}
caught_by() { sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$1" | sort -u; }

# shellcheck disable=SC2329 # called through `step`
without_mutants() { # a test that always fails catches nothing
  : >"$logs/without.log"
  local patch run
  for patch in "${patches[@]}"; do field "$patch" Run; done | sort -u | while read -r run; do
    # shellcheck disable=SC2086 # arguments of cargo
    if ! build "$logs/without.log" $run || ! tests "$logs/without.log" $run; then
      echo "without any mutant these tests fail: $run"
      tail -n 40 "$logs/without.log"
      return 1
    fi
  done
}

step "nats-server" get_nats_server
step "postgres" start_postgres
step "copy the sources" copy_sources
step "without mutants" without_mutants

passed=0 failed=0
printf '| mutant | what it breaks | caught by |\n|---|---|---|\n' >"$table"
verdict() { # verdict NAME PATCH LOG: red is what is wanted
  local names
  names=$(caught_by "$3")
  if [ -z "$names" ]; then
    echo "   $1: NOT CAUGHT ($(field "$2" Breaks))"
    failed=$((failed + 1))
    return
  fi
  echo "   $1: caught by ${names//$'\n'/, }"
  printf '| `%s` | %s | %s |\n' "$1" "$(field "$2" Breaks)" "$(sed 's/.*/`&`/' <<<"$names" | paste -sd ' ')" >>"$table"
  passed=$((passed + 1))
}
for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch) log=$logs/$(basename "$patch" .patch).log
  : >"$log"
  run=$(field "$patch" Run)
  # shellcheck disable=SC2086 # arguments of cargo
  if ! (cd "$copy" && git apply "$patch") 2>>"$log" || ! build "$log" $run; then
    echo "   $name: does not apply or compile, see $log"
    failed=$((failed + 1))
  else
    # shellcheck disable=SC2086 # arguments of cargo
    tests "$log" $run || true
    verdict "$name" "$patch" "$log"
  fi
  (cd "$copy" && git apply -R "$patch") 2>>"$log" || step "copy the sources again" copy_sources
done

if [ $# -eq 0 ] && [ "$failed" -eq 0 ]; then
  { sed '/^| mutant |/,$d' docs/mutants.md; cat "$table"; } >"$table.new"
  mv "$table.new" docs/mutants.md
fi
finish "$passed" "$failed"
