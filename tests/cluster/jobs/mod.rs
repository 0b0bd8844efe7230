//! Jobs of ours where Pod Security is `restricted`: admitted, done, looked at, proven gone.

mod platform;
mod refused;
mod whole_way;
