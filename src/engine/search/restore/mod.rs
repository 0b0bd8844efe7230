//! Back by restore: copies that a Job made of a snapshot are put in the place of the indices.
//!
//! A server has no transaction over indices, so every step is found again from what is there: the note ([`note`]) says
//! which index was which, by uuid, and a clone says by itself what it is a clone of. Nothing is deleted before its clone
//! has been counted.

mod beside;
mod definitions;
mod expect;
mod forget;
mod histories;
mod names;
mod note;
mod place;
mod room;
mod seen;
mod swap;
mod trial;

pub use beside::Beside;
pub(super) use forget::drop_aside;
pub(super) use names::{ASIDE, COPY, base};
pub(super) use note::BACKUP;
pub(super) use swap::put_back;
pub(super) use trial::try_restore;
