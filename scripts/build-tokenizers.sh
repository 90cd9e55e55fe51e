#!/usr/bin/env bash
# Builds libtokenizers.a, the Hugging Face tokenizers as a static library, of the Rust
# source in the Go module github.com/daulet/tokenizers, into .cache/tokenizers, and prints
# its path. Does nothing where it is there. Needs cargo, and the crates of Cargo.lock.
#
#     scripts/build-tokenizers.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
module=github.com/daulet/tokenizers
version=$(go list -m -f '{{.Version}}' $module)
lib=$root/.cache/tokenizers
if [ -f "$lib/libtokenizers.a" ] && [ "$(cat "$lib/version" 2>/dev/null)" = "$version" ]; then
	echo "$lib/libtokenizers.a"
	exit 0
fi
command -v cargo >/dev/null || { echo "build-tokenizers: cargo is needed: install Rust" >&2; exit 1; }
go mod download $module
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
source=$(go list -m -f '{{.Dir}}' $module)
cp -r "$source"/Cargo.toml "$source"/Cargo.lock "$source"/src "$source"/benches "$tmp"
chmod -R u+w "$tmp"
echo "build-tokenizers: $module $version, some minutes ..." >&2
(cd "$tmp" && cargo build --quiet --release --locked --lib)
mkdir -p "$lib"
cp "$tmp/target/release/libtokenizers.a" "$lib/.libtokenizers.a.$$" && mv "$lib/.libtokenizers.a.$$" "$lib/libtokenizers.a" # whole or not at all
echo "$version" >"$lib/version"
echo "$lib/libtokenizers.a"
