//! The program that ties the rooms together. It cannot be used before the server is there.

fn main() {}
