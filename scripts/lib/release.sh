# shellcheck shell=bash
# The last version that was deployed and found healthy, kept in run/last-good so that a failed deployment can be rolled
# back. It contains the files that the service runs from, but neither its configuration nor its data.

readonly last_good=run/last-good
readonly release_files="package.json ecosystem.config.js packages/protocol/package.json packages/protocol/dist \
packages/server/package.json packages/server/dist packages/server/lua"

# Uses hard links where possible: the files of packages are never changed in place.
copy_packages() { cp -al "$1" "$2" 2>/dev/null || cp -R "$1" "$2"; }

keep_release() {
  local file
  rm -rf "$last_good.new"
  for file in $release_files; do
    mkdir -p "$(dirname "$last_good.new/$file")"
    cp -R "$file" "$last_good.new/$file"
  done
  copy_packages node_modules "$last_good.new/node_modules"
  rm -rf "$last_good"
  mv "$last_good.new" "$last_good"
}

# Fails when there is no earlier version.
restore_release() {
  local file
  if [ ! -d "$last_good/node_modules" ]; then return 1; fi
  for file in $release_files; do
    rm -rf "$file"
    cp -R "$last_good/$file" "$file"
  done
  rm -rf node_modules
  copy_packages "$last_good/node_modules" node_modules
  # With these files, the compiler would not rebuild what has just been replaced.
  rm -f packages/*/tsconfig.tsbuildinfo
}
