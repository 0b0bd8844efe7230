//! The program that a run was frozen with, read back.

use crate::api::run::FrozenProgram;
use crate::cluster::secret::{self, Part, PartError};
use crate::cluster::{Acting, ReadError};
use crate::program;
use crate::run::seam::Thawed;

/// Reads it from the run's Secrets, each part against its digest.
///
/// # Errors
/// A missing right; no answer.
pub(super) async fn thaw(
    acting: &Acting,
    namespace: &str,
    frozen: FrozenProgram,
) -> Result<Thawed, ReadError> {
    let format = i64::from(frozen.format);
    let parts: Vec<Part> =
        frozen.parts.into_iter().map(|part| Part { secret: part.secret, sha256: part.sha256 }).collect();
    let bytes = match secret::read_parts(acting, namespace, &parts).await {
        Ok(bytes) => bytes,
        Err(PartError::Read(error)) => return Err(error),
        Err(broken) => return Ok(Thawed::Broken { why: broken.to_string() }),
    };
    // The digests are right: these are the bytes that were frozen, and what can't read them is another version.
    match serde_json::from_slice(&bytes) {
        Ok(program) if walks(format) => Ok(Thawed::Program(Box::new(program))),
        Ok(_) | Err(_) => Ok(Thawed::OfAnotherVersion(format!(
            "the run was frozen in format {format} by another version of the operator, and this one walks format {}: deploy the version that froze it",
            program::FORMAT
        ))),
    }
}

/// Whether this build walks programs of a format: its own and the one before.
fn walks(format: i64) -> bool {
    let ours = i64::from(program::FORMAT);
    (ours - 1..=ours).contains(&format)
}
