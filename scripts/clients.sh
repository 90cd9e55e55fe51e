#!/usr/bin/env bash
# Installs clients that others wrote for other servers, and runs them against
# colbertdb serve (integrations/clients).
set -euo pipefail
cd "$(dirname "$0")/../integrations/clients"
install() { npm ci --prefix npm --no-audit --no-fund --silent; }
install || install # a registry may hiccup
[ -x python/.venv/bin/python ] || python3 -m venv python/.venv
python/.venv/bin/pip install --quiet --disable-pip-version-check -r python/requirements.txt
CI=true go test -count=1 ./...
