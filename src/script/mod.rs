//! Text in, scripts out: names, splitting, checksums, lint. Pure.
