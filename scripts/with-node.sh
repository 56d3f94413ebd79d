#!/usr/bin/env bash
# Runs a program with a Node.js that is new enough: the system's, or the one that development installs.
# Usage: scripts/with-node.sh FILE [ARGUMENT…]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

is_new_enough() {
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 16) ? 0 : 1)' 2>/dev/null
}

for node in "$root/node_modules/.bin/node" node; do
  if command -v "$node" >/dev/null 2>&1 && is_new_enough "$node"; then
    cd "$root"
    # shellcheck disable=SC2086
    exec "$node" ${NODE_ARGS:-} "$@"
  fi
done

found=$(node --version 2>/dev/null || echo none)
echo "Node.js 22.16 or newer is needed; this machine has: $found. 'npm ci' installs one for development." >&2
echo "需要 Node.js 22.16 或更高版本；本机为：$found。运行 npm ci 会为开发环境另装一个。" >&2
exit 1
