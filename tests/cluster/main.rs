//! The API server itself: what only it can prove about our writes, claims, rights and workloads.
//!
//! Needs a cluster with the images `localhost/demo-app` and `localhost/postgresql` (`testbed/testbed up`,
//! `testbed/testbed image demo-app postgresql`), named by `WHIMBREL_TEST_KUBECONFIG`, and the product's own image, named
//! by `WHIMBREL_TEST_IMAGE` (`testbed/testbed image whimbrel`). Every test works in a namespace of its own.

mod claims;
mod jobs;
mod place;
mod records;
mod rights;
mod rollouts;
mod workloads;
