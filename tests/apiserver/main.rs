//! The API server's own word on our kinds: what it installs, admits and refuses.
//!
//! Needs a cluster named by `WHIMBREL_TEST_KUBECONFIG` (`testbed/testbed up`); an API server alone is enough. Every test
//! works in a namespace of its own.

mod admission;
mod install;
mod place;
