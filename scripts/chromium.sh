#!/usr/bin/env bash
# Installs Debian's Chromium, in which the console is tested, where this may and can
# be done. Without one that test is skipped and says so.
set -euo pipefail
for name in "${COLBERTDB_CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable chrome-headless-shell; do
	if command -v "$name" >/dev/null; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0
fi
echo "no Chromium: the test of the console in a browser is skipped"
