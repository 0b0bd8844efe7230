//! Whimbrel: a Kubernetes operator that migrates whole platforms, or brings everything back.
//!
//! A plan is compiled into a program whose way back is compiled with it. A driver walks the program one op at a
//! time, writes down what it is about to do before it does it, and reads the world before it believes it.
//!
//! The map of the house, one line per room:

#![warn(unreachable_pub)]

/// What users write and read: the three kinds, their rules, the reasons and verbs. No client, no IO.
pub mod api;
/// Take, verify, retain: what runs inside the Job, the manifest, the ladder.
pub mod backup;
/// What a check expects and whether it holds. Pure.
pub mod check;
/// What people type.
pub mod cli;
/// What any operator needs of the API server: apply, events, lease, status writer.
pub mod cluster;
/// The kube-rs controllers, and the sweeper. Thin.
pub mod controller;
/// The hands on databases: one room per engine behind one trait.
pub mod engine;
/// Numbered fault points, in builds made for crash tests.
pub(crate) mod fault;
/// One Job of ours from spec to proven gone.
pub mod job;
/// Telling people outside the cluster: webhooks.
pub mod notify;
/// The brain: compile a plan, decide what comes next. Pure.
pub mod program;
/// The driver: decide, write down, do, write down.
pub mod run;
/// Text in, scripts out: names, splitting, checksums, lint. Pure.
pub mod script;
/// Metrics and health.
pub mod serve;
/// The sentences: facts in, what people read out. Pure.
pub mod words;
/// The hands on workloads: quiesce, roll out, give back.
pub mod workload;
