//! A third-party layer.

fn main() {}
