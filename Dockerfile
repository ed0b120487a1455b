# The image of the chart in helm/. The first stage builds with the profile that is shipped; the second one has the binary,
# the libraries that it needs and the certificates of public authorities: no shell, no package manager, nothing else.
# docs/operations.md shows how to give a digest instead of the tag.
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
FROM ${BUILD_IMAGE} AS build
ARG PROFILE=dist
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY migrations migrations
COPY docs docs
COPY src src
COPY benches benches
COPY tests tests
RUN cargo build --locked --profile "$PROFILE" --bin hookline
RUN install -D "target/$PROFILE/hookline" /out/usr/local/bin/hookline
RUN ldd /out/usr/local/bin/hookline | grep -o '/[^ )]*' | xargs cp --parents -L -t /out/
RUN install -D -m 644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt
RUN mkdir -p /out/data/ && install -d -m 1777 /out/tmp/

FROM scratch
COPY --from=build /out/ /
# The volume belongs to the user that the process is.
COPY --from=build --chown=65532:65532 /out/data/ /data/
WORKDIR /data
USER 65532:65532
VOLUME /data
EXPOSE 50051 9464
ENTRYPOINT ["/usr/local/bin/hookline"]
CMD ["serve"]
