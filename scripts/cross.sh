#!/usr/bin/env bash
# Build everything without cgo for every platform that is supported.
set -euo pipefail
cd "$(dirname "$0")/.."
for os in linux darwin windows; do
	for arch in amd64 arm64; do
		echo "$os/$arch"
		CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build ./...
	done
done
