#!/bin/sh
# Formatting, lints and all tests. Needs Rust by rustup and, for the bundled SQLite, a C compiler.
set -eu
cd "$(dirname "$0")"

if ! command -v cc >/dev/null 2>&1; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq build-essential
fi

cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo test --workspace --locked
