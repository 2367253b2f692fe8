#!/bin/sh
# Makes an empty source file for every target that the workspace's manifests promise, so that cargo can build the
# dependencies, and Docker keep that layer, before any real source is there. Run in a folder with the manifests alone.
set -eu

for manifest in */Cargo.toml; do
  package=${manifest%/Cargo.toml}
  mkdir -p "$package/src"
  : >"$package/src/lib.rs"
  echo 'fn main() {}' >"$package/src/main.rs"
  # Targets with a table of their own: `[[bench]]` with a name, and any `path`.
  awk -F'"' '
    /^\[/ { kind = "" }
    /^\[\[(bench|bin|test|example)\]\]/ { kind = $0; gsub(/[][]/, "", kind) }
    kind != "" && /^name *=/ {
      if (kind == "bin") print "src/bin/" $2 ".rs"
      if (kind == "bench") print "benches/" $2 ".rs"
      if (kind == "test") print "tests/" $2 ".rs"
      if (kind == "example") print "examples/" $2 ".rs"
    }
    /^path *= *"[^"]*\.rs"/ { print $2 }
  ' "$manifest" | while read -r target; do
    [ -e "$package/$target" ] && continue
    mkdir -p "$package/$(dirname "$target")"
    echo 'fn main() {}' >"$package/$target"
  done
done
