//! What any operator needs of the API server: apply, events, lease, status writer.
