#!/usr/bin/env bash
# What must hold before every commit: format, lint, types, import direction and cycles, unused exports, unit tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/node_modules/.bin:$PATH"

biome check --error-on-warnings .
tsc -b
oxlint --type-aware --deny-warnings
scripts/with-node.sh scripts/check-imports.mjs
scripts/with-node.sh node_modules/knip/bin/knip.js
if [ "${1:-}" != --no-tests ]; then vitest run --project unit; fi
