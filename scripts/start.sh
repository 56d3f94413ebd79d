#!/usr/bin/env bash
# Starts the service. --development: installs, builds and runs it in the foreground on the embedded engine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<'TEXT'
Usage: scripts/start.sh [--development | --production]

  --development   install what is missing, build, run in the foreground (default)
  --production    build if needed, run in the foreground with ENVIRONMENT=production
TEXT
}

mode=development
for argument in "$@"; do
  case "$argument" in
    --development) mode=development ;;
    --production) mode=production ;;
    -h | --help) usage; exit 0 ;;
    *) echo "start.sh: unknown option $argument" >&2; usage >&2; exit 2 ;;
  esac
done

source scripts/install.sh
install_packages
echo 'Building …'
scripts/with-node.sh node_modules/typescript/bin/tsc -b packages/server
export ENVIRONMENT=$mode
exec scripts/with-node.sh packages/server/dist/main.js
