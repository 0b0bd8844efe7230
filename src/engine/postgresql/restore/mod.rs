//! Back by restore: a copy that a Job made beside the database is stamped and swapped in.
//!
//! A database is renamed by a session that is in another one, and only while nobody is in it. So all of this is done
//! from the maintenance database, through one session ([`door`]) that holds the lock on this database's restore.

mod closed;
mod door;
mod forget;
mod label;
mod lossy;
mod properties;
mod stamp;
mod state;
mod swap;
mod trial;

pub(super) use closed::is_closed_by_us;
pub(super) use forget::drop_aside;
pub use label::{Label, Stage, aside, beside, lock, maintenance};
pub use properties::{Grant, Properties, Setting};
pub(super) use swap::put_back;
pub(super) use trial::try_restore;
