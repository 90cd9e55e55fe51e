#!/usr/bin/env bash
# Run every fuzz target of the module for a while: fuzz.sh [duration].
set -euo pipefail
cd "$(dirname "$0")/.."
for pkg in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz' || true); do
		echo "$pkg $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-10s}" "$pkg"
	done
done
