# The program in an image: `docker build -t assay .`
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --workspace --bins

FROM debian:bookworm-slim
RUN useradd --system --create-home --home-dir /var/lib/assay assay
COPY --from=build /src/target/release/assay /usr/local/bin/assay
USER assay
WORKDIR /var/lib/assay
ENTRYPOINT ["assay"]
CMD ["serve"]
