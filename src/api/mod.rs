//! What users write and read: the three kinds, their rules, the reasons and verbs. No client, no IO.
