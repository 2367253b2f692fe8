# The Talkspurt server on an empty image: one static program that runs as nobody and needs no writable file.
#   docker build -t talkspurt-server .
#   docker run --read-only --cap-drop=ALL -p 8255:8255 talkspurt-server

# The manifests alone, of every package, however many there are: what the dependencies depend on.
FROM rust:1.95-slim-bookworm AS manifests
WORKDIR /build
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Statically linked glibc. The explicit target keeps the flag away from build scripts and proc macros, which cannot be
# static; `uname -m` names it on x86-64 and arm64 alike.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The dependencies: built again only when a manifest or the lock file changes.
COPY --from=manifests /build .
COPY xtask/scripts/docker-skeleton.sh xtask/scripts/
RUN sh xtask/scripts/docker-skeleton.sh \
 && cargo build --locked --release --package talkspurt-server --target "$(uname -m)-unknown-linux-gnu"

# The server. The sources are touched because cargo takes a file older than its last build for unchanged.
# The core's documentation is its README.
COPY core/README.md core/
COPY core/src core/src
COPY host-kit/src host-kit/src
COPY host-server/hub/src host-server/hub/src
COPY host-server/src host-server/src
RUN find core/src host-kit/src host-server/hub/src host-server/src -name '*.rs' -exec touch {} + \
 && cargo build --locked --release --package talkspurt-server --target "$(uname -m)-unknown-linux-gnu" \
 && strip -o /talkspurt-server "target/$(uname -m)-unknown-linux-gnu/release/talkspurt-server"

FROM scratch
COPY --from=build /talkspurt-server /talkspurt-server
# Inside the container all addresses are its own: what is reachable is decided by the ports that are published.
ENV TALKSPURT_HTTP=[::]:8256
# nobody
USER 65534:65534
EXPOSE 8255/tcp 8256/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=2s --retries=3 CMD ["/talkspurt-server", "health"]
ENTRYPOINT ["/talkspurt-server"]
