//! What a check expects and whether it holds. Pure.
