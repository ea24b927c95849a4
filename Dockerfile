# The program in an image: `docker build -t assay .`
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace --bins

FROM debian:bookworm-slim
# The authorities that vouch for a bucket over HTTPS are read from there.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --create-home --home-dir /var/lib/assay assay
COPY --from=build /src/target/release/assay /usr/local/bin/assay
USER assay
WORKDIR /var/lib/assay
ENTRYPOINT ["assay"]
CMD ["serve"]
