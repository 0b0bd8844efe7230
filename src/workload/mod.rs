//! The hands on workloads: quiesce, roll out, give back.
