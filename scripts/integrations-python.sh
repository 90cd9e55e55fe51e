#!/usr/bin/env bash
# The Python package against the packages that it adapts to, from their registry, and
# against colbertdb serve (integrations/python).
set -euo pipefail
cd "$(dirname "$0")/.."
if ! python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
	echo "skipped: integrations/python needs Python 3.11 with venv"
	exit 0
fi
work=$PWD/.cache/integrations
mkdir -p "$work"
go build -o "$work/colbertdb" ./cmd/colbertdb
export COLBERTDB_BIN=$work/colbertdb
cd integrations/python
[ -x "$work/python/bin/python" ] || python3 -m venv "$work/python"
install() { "$work/python/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt -e .; }
install || install # a registry may hiccup
"$work/python/bin/python" -m mypy
"$work/python/bin/python" -m pytest -q -rs
