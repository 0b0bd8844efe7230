//! The brain: compile a plan, decide what comes next. Pure.
