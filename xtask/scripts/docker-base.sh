#!/bin/bash
# Provides the two base images that the Dockerfile starts from. For each of them, in this order:
#   1. it is here already: nothing to do;
#   2. a registry gives it: `docker pull`;
#   3. no registry can be reached: it is made from this machine (root and debootstrap needed):
#      debian:bookworm-slim      a minimal Debian 12 from the Debian mirrors that apt uses
#      rust:1.95-slim-bookworm   the same with a C linker and this machine's own Rust 1.95
# A running Docker daemon is the caller's business (`cargo xtask docker` starts one where it may).
#
#   DOCKER    the docker program            (default: /usr/bin/docker if there, else the one on the PATH)
#   WORK      where images are put together (default: /var/tmp/talkspurt-docker-base)
#   NO_PULL   set: skip step 2
set -euo pipefail

WORK=${WORK:-/var/tmp/talkspurt-docker-base}
RUST=1.95
PULL_LIMIT_SECS=300
if [ -z "${DOCKER:-}" ]; then
  if [ -x /usr/bin/docker ]; then DOCKER=/usr/bin/docker; else DOCKER=docker; fi
fi

say() { echo "docker-base: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { "$DOCKER" image inspect "$1" >/dev/null 2>&1; }

pull() {
  [ -z "${NO_PULL:-}" ] || return 1
  say "pulling $1"
  timeout "$PULL_LIMIT_SECS" "$DOCKER" pull --quiet "$1" >&2
}

make_debian() {
  [ "$(id -u)" = 0 ] || fail "no registry answers, and making $1 here needs root"
  command -v debootstrap >/dev/null || fail "no registry answers; to make $1 here: apt-get install -y debootstrap"
  say "making $1 with debootstrap (a few minutes)"
  local root=$WORK/rootfs
  rm -rf "$root"
  mkdir -p "$root"
  debootstrap --variant=minbase bookworm "$root" >"$WORK/debootstrap.log" 2>&1 ||
    fail "debootstrap failed; the end of $WORK/debootstrap.log: $(tail -n 3 "$WORK/debootstrap.log")"
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{man,info,locale}/*
  tar --numeric-owner --one-file-system --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
    -C "$root" -c . | "$DOCKER" import --change 'CMD ["bash"]' - "$1" >&2
  rm -rf "$root"
}

make_rust() {
  local ctx=$WORK/builder sysroot
  sysroot=$(rustc "+$RUST.0" --print sysroot 2>/dev/null || rustc --print sysroot)
  "$sysroot/bin/rustc" --version | grep -q "^rustc $RUST\." ||
    fail "no registry answers, and this machine has no Rust $RUST to make $1 from"
  say "making $1 from $sysroot"
  rm -rf "$ctx"
  mkdir -p "$ctx/toolchain"
  cp -a "$sysroot/." "$ctx/toolchain/"
  # Documentation, the standard library's sources and other targets than this machine's stay outside.
  rm -rf "$ctx"/toolchain/share/{doc,man} "$ctx"/toolchain/lib/rustlib/{src,thumb*,riscv*,wasm*}
  # The builder trusts whom this machine trusts: it reaches the crates the same way.
  cp /etc/ssl/certs/ca-certificates.crt "$ctx/ca.crt"
  cat >"$ctx/Dockerfile" <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY ca.crt /etc/ssl/certs/ca-certificates.crt
COPY toolchain /usr/local/rust
ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_HOME=/usr/local/cargo
CMD ["bash"]
DOCKERFILE
  # The classic builder: it needs no BuildKit image and no network of its own.
  DOCKER_BUILDKIT=0 "$DOCKER" build -q -t "$1" "$ctx" >&2
  rm -rf "$ctx"
}

"$DOCKER" info >/dev/null 2>&1 || fail "no Docker daemon answers to '$DOCKER info'"
mkdir -p "$WORK"
have debian:bookworm-slim || pull debian:bookworm-slim || make_debian debian:bookworm-slim
have "rust:$RUST-slim-bookworm" || pull "rust:$RUST-slim-bookworm" || make_rust "rust:$RUST-slim-bookworm"
say "debian:bookworm-slim and rust:$RUST-slim-bookworm are here"
