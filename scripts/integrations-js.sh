#!/usr/bin/env bash
# The TypeScript package against LangChain.js, from its registry, and against colbertdb
# serve (integrations/js). Its types are made of the server's OpenAPI document.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 21 || (a == 20 && b >= 11) || (a == 21 && b >= 2) ? 0 : 1)' 2> /dev/null || ! command -v npm > /dev/null; then
	echo "skipped: integrations/js needs Node.js 20.11 or later with npm"
	exit 0
fi
work=$PWD/.cache/integrations
mkdir -p "$work"
go build -o "$work/colbertdb" ./cmd/colbertdb
export COLBERTDB_BIN=$work/colbertdb
cd integrations/js
install() { npm ci --no-audit --no-fund --silent; }
install || install # a registry may hiccup
npm test --silent
