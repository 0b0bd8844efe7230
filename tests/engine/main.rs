//! The engines against real servers. Needs `testbed/postgres replica` and `eval "$(testbed/postgres env)"`.

mod apply;
mod bed;
#[path = "../tools/bundle.rs"]
mod bundle;
mod check;
mod copy;
mod enter;
#[path = "../tools/entering.rs"]
mod entering;
mod hostile;
mod login;
mod lost;
#[path = "../tools/proxy.rs"]
mod proxy;
mod put_back;
mod quiet;
mod restore_trial;
mod split;
mod steps;
mod undo;
#[path = "../tools/until.rs"]
mod until;
mod witness;
