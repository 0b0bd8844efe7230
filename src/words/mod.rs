//! The sentences: facts in, what people read out. Pure.
//!
//! - [`text`]: how instants and the texts of others stand in a sentence.

pub mod text;
