#!/usr/bin/env bash
# Test the kernels of arm64: on such a machine, or in emulation where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOARCH=arm64
go vet ./internal/simd
if [ "$(uname -m)" = aarch64 ] || [ "$(uname -m)" = arm64 ]; then
	go test ./internal/simd
elif command -v qemu-aarch64 > /dev/null; then
	go test -exec 'qemu-aarch64 -cpu max' ./internal/simd
else
	echo "skipped: this is not an arm64 machine, and there is no qemu-aarch64 to emulate one"
fi
