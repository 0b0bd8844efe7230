//! The search engine against real servers: `testbed/search`. One test at a time, since a cluster has one fence.

mod apply;
mod bed;
#[path = "../tools/bundle.rs"]
mod bundle;
mod contract;
#[path = "../tools/curl.rs"]
mod curl;
mod elasticsearch;
#[path = "../tools/entering.rs"]
mod entering;
mod fence;
mod lost;
mod peer;
mod prune;
mod refused;
mod restore;
mod restore_cut;
mod restore_trial;
mod seen;
mod snapshots;
mod tasks;
mod wire;
