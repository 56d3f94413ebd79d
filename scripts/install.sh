#!/usr/bin/env bash
# Functions that install what the other scripts need; sourced from the repository's root.

# install_packages [FOLDER] installs the packages of its lockfile, unless these very ones are there.
install_packages() {
  local folder=${1:-.}
  local stamp=$folder/node_modules/.installed-lockfile
  if [ -f "$stamp" ] && cmp -s "$folder/package-lock.json" "$stamp"; then return; fi
  if ! command -v npm >/dev/null 2>&1; then
    echo 'npm is missing: install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm).' >&2
    echo '缺少 npm：请安装 Node.js 20 或更高版本及 npm（Debian：apt-get install nodejs npm）。' >&2
    return 1
  fi
  echo 'Installing packages …'
  # A Node older than some packages want only runs npm itself; everything else runs on node_modules/.bin/node.
  npm ci --prefix "$folder" --no-audit --no-fund --loglevel=error
  cp "$folder/package-lock.json" "$stamp"
}

# What operators run; not what only tests need.
build_packages() {
  scripts/with-node.sh node_modules/typescript/bin/tsc -b packages/server packages/doctor
}

# install_system_packages PROGRAM-OR-FILE:PACKAGE … installs the Debian packages of what is missing.
install_system_packages() {
  local missing=() pair probe
  for pair in "$@"; do
    probe=${pair%%=*}
    if [ "${probe#/}" != "$probe" ]; then [ -e "$probe" ] && continue
    else command -v "$probe" >/dev/null 2>&1 && continue; fi
    missing+=("${pair#*=}")
  done
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  local run=()
  if [ "$(id -u)" -ne 0 ]; then run=(sudo -n); fi
  if command -v apt-get >/dev/null 2>&1 && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }; then
    echo "Installing ${missing[*]} …"
    "${run[@]}" apt-get update -qq >/dev/null
    # A package whose daemon starts by itself would take ports that nobody asked it to take.
    "${run[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The tests need these Debian packages: ${missing[*]}" >&2
    echo "Install them with: sudo apt-get install ${missing[*]}" >&2
    return 1
  fi
}
