#!/usr/bin/env bash
# Installs what the tests need and runs all of them; --no-install: everything is there already. The statistical tests
# are small; TEST_SCALE=full runs them at full size.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/install.sh

if [ "${1:-}" != --no-install ]; then
  install_packages
  # The other Node.js that the service is tested on; apart, so that nobody who only runs it downloads them.
  install_packages tests/nodes
  install_system_packages \
    chromium=chromium nginx=nginx promtool=prometheus \
    redis-server=redis-server redis-cli=redis-tools openssl=openssl curl=curl ip=iproute2 \
    /usr/lib/python3/dist-packages/httpx=python3-httpx \
    /usr/lib/python3/dist-packages/aiohttp=python3-aiohttp \
    shellcheck=shellcheck /usr/sbin/logrotate=logrotate lsof=lsof git=git \
    systemd-analyze=systemd /sbin/sysctl=procps unshare=util-linux mount=mount
  # Not every release has it, and the tests of the compose file's contents are skipped without it.
  install_system_packages docker-compose=docker-compose ||
    echo 'docker-compose is not to be had here: what it reads from docker-compose.yml stays untested.' >&2
  # Run by tests as a program, never a dependency (AGPL).
  if [ ! -f node_modules/.pm2/node_modules/pm2/package.json ] && ! command -v pm2 >/dev/null 2>&1; then
    npm install --prefix node_modules/.pm2 --no-audit --no-fund --loglevel=error pm2@7.0.4
  fi
fi

export PATH="$PWD/node_modules/.bin:$PATH"
# Builds what the tests run, too.
scripts/check.sh --no-tests
results=node_modules/.test-results.json
rm -f "$results"
set +e
vitest run --project unit --project system --project quiet --reporter=default --reporter=json --outputFile.json="$results"
status=$?
set -e
scripts/with-node.sh scripts/test-summary.mjs "$results"
exit "$status"
