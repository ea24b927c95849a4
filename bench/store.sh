#!/bin/sh
# What the store does by itself: durable transitions a second, CPU time of each, and how fair its shares are.
set -eu
cd "$(dirname "$0")/.."
cargo run --quiet --release -p assay-store --example transitions
cargo run --quiet --release -p assay-store --example fairness
