#!/usr/bin/env bash
# The adapters to Go frameworks against the frameworks' own packages and colbertdb serve
# (the modules in integrations/ whose hosts are Go's).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/.cache/integrations
mkdir -p "$work"
go build -o "$work/colbertdb" ./cmd/colbertdb
export COLBERTDB_BIN=$work/colbertdb
for module in integrations/{langchaingo,genkit,eino}; do
	(cd "$module" && test -z "$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go test -count=1 ./...)
done
