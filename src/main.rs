//! The `hookline` binary.

fn main() {}
