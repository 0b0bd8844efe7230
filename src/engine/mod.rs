//! The hands on databases: one room per engine behind one trait.
