//! The engines against real servers. Needs `testbed/postgres replica` and `eval "$(testbed/postgres env)"`.

mod apply;
mod bed;
mod check;
mod copy;
mod enter;
mod hostile;
mod login;
mod lost;
mod proxy;
mod put_back;
mod quiet;
mod restore_trial;
mod split;
mod steps;
mod undo;
mod witness;
