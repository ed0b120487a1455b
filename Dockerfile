# The image of the chart in helm/. The first stage builds with the profile that is shipped; the second one has the binary,
# the C library and the certificates of public authorities, no shell and no package manager.
FROM rust:1.95-slim-bookworm AS build
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
RUN install -D "target/$PROFILE/hookline" /out/hookline

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/hookline /usr/local/bin/hookline
WORKDIR /data
USER 65532:65532
EXPOSE 50051 9464
ENTRYPOINT ["/usr/local/bin/hookline"]
CMD ["serve"]
