# The image of Whimbrel: one static program and the certificates of public authorities, nothing else.
#
#   docker build .                    compiles the program in the stage `compiled`
#   testbed/testbed image whimbrel    brings a compiled program: --build-arg PROGRAM=prebuilt, a folder with it as context
#
# Static, because backup Jobs copy the program into the images of the databases' own tools, whatever libc those have.
ARG PROGRAM=compiled
ARG RUST=docker.io/library/rust:1.95-bookworm

FROM ${RUST} AS compiled
WORKDIR /src
COPY . .
# With --target, the flag reaches the program only and not the build scripts and macros, which can't be static.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
 && RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --profile image --target "$target" --bin whimbrel \
 && install -D "target/$target/image/whimbrel" /out/whimbrel \
 && install -D /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch AS prebuilt
COPY . /out/

FROM ${PROGRAM} AS program

FROM scratch
COPY --from=program /out/ /
USER 65532:65532
ENTRYPOINT ["/whimbrel"]
