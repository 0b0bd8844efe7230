//! What any operator needs of the API server: clients by account, fenced writes, records, leases, events, Secrets.
//!
//! Nothing here knows a run's rules. Every write is a compare-and-swap or a create whose conflict is looked at; every
//! write that gets no answer is read back before anything is sent again.

mod account;
mod client;
mod clock;
mod counted;
pub mod events;
#[cfg(test)]
pub(crate) mod fake;
mod forbidden;
mod holder;
pub mod leader;
pub mod lease;
mod read;
pub mod record;
pub mod secret;
pub mod source;
mod swap;
mod write;

pub use account::Account;
pub use client::{Acting, ApiServer, ConnectError};
pub use clock::api_server_time;
pub use counted::Answered;
pub use forbidden::Forbidden;
pub use holder::{Holder, NoHolder};
pub use read::{Kind, ReadError, get, get_if_there, list_all};
pub use swap::SwapError;
pub use write::{NotOurs, WriteError};

/// The name under which every field that Whimbrel writes is recorded in `managedFields`.
pub const FIELD_MANAGER: &str = "whimbrel";
