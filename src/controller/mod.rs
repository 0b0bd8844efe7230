//! The kube-rs controllers, and the sweeper. Thin.
