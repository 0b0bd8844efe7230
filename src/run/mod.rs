//! The driver: decide, write down, do, write down.
