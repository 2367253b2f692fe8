#!/bin/sh
# Makes an empty source file for every target that the workspace's manifests promise, so that cargo can build the
# dependencies, and Docker keep that layer, before any real source is there. Run in a folder with the manifests alone.
set -eu

for manifest in $(find . -mindepth 2 -name Cargo.toml); do
  package=${manifest%/Cargo.toml}
  mkdir -p "$package/src"
  # Every package needs one target, and this one is found without being named.
  : >"$package/src/lib.rs"
  # Targets with a table of their own: at their `path`, or where cargo looks for their `name`.
  awk -F'"' '
    function target() {
      if (path != "") print path
      else if (name != "") print folder[kind] "/" name ".rs"
      kind = name = path = ""
    }
    BEGIN { folder["bin"] = "src/bin"; folder["bench"] = "benches"; folder["test"] = "tests"; folder["example"] = "examples" }
    /^\[/ { target() }
    /^\[\[(bin|bench|test|example)\]\]/ { kind = $0; gsub(/[^a-z]/, "", kind) }
    kind != "" && /^name *=/ { name = $2 }
    kind != "" && /^path *=/ { path = $2 }
    END { target() }
  ' "$manifest" | while read -r target; do
    mkdir -p "$package/$(dirname "$target")"
    echo 'fn main() {}' >"$package/$target"
  done
done
