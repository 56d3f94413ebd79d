#!/usr/bin/env bash
# Installs what the tests need and runs all of them. --no-install: everything is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/install.sh

if [ "${1:-}" != --no-install ]; then
  install_packages
  install_system_packages \
    chromium=chromium nginx=nginx promtool=prometheus \
    /usr/lib/python3/dist-packages/httpx=python3-httpx \
    /usr/lib/python3/dist-packages/aiohttp=python3-aiohttp
fi

export PATH="$PWD/node_modules/.bin:$PATH"
scripts/check.sh --no-tests
tsc -b
set +e
vitest run --reporter=default --reporter=json --outputFile.json=node_modules/.test-results.json
status=$?
set -e
scripts/with-node.sh scripts/test-summary.mjs node_modules/.test-results.json
exit "$status"
