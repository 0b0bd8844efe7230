//! The API server itself: what only it can prove about our writes, claims, rights and workloads.
//!
//! Needs a cluster with the images `localhost/demo-app` (`testbed/testbed up`, `testbed/testbed image demo-app`), named
//! by `WHIMBREL_TEST_KUBECONFIG`. Every test works in a namespace of its own.

mod claims;
mod place;
mod records;
mod rights;
mod rollouts;
mod workloads;
