//! The command line: one match.

fn main() {}
