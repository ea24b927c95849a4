#!/bin/sh
# Formatting, lints and all tests. Needs Rust by rustup, a C compiler for the bundled SQLite, a Redis server, and Python
# for a server that speaks S3; what is missing is installed.
set -eu
cd "$(dirname "$0")"

missing=""
command -v cc >/dev/null 2>&1 || missing="$missing build-essential"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing="$missing python3 python3-venv"
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

# The examples of docs/reference/redis.md, and keys that go back and forth, with a client that is not ours.
python3 -m venv target/redis-py
target/redis-py/bin/pip install --quiet redis==8.1.0
PYTHON="$PWD/target/redis-py/bin/python" cargo test --workspace --locked --test it -- --ignored redis::contract partner::
