//! The engines against real servers. Needs `eval "$(testbed/postgres env)"`.

mod apply;
mod bed;
