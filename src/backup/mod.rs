//! Take, verify, retain: what runs inside the Job, the manifest, the ladder.
