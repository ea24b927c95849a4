#!/bin/sh
# Formatting, lints and all tests. Needs Rust by rustup, for the bundled SQLite a C compiler, and a Redis server.
set -eu
cd "$(dirname "$0")"

missing=""
command -v cc >/dev/null 2>&1 || missing="build-essential"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    $sudo apt-get install -y -qq $missing
fi

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo test --workspace --locked
