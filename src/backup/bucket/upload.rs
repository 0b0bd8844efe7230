//! One large object, written while it is made: in parts, each sent once it is full, with two of them in memory at most.
//!
//! The object exists only once [`Upload::complete`] has said so. Whoever writes decides that after he knows that what he
//! wrote was whole: a dump that died in the middle ends its output like one that did not.

use super::{Bucket, said::failed};
use crate::backup::{BackupError, files::FileDigest};
use bytes::{Bytes, BytesMut};
use object_store::{
    MultipartId, PutPayload,
    multipart::{MultipartStore as _, PartId},
    path::Path as Key,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The smallest part: a request of it is worth its round trip, and two of them fit into the memory of a small pod.
const PART: usize = 16 << 20;
/// S3 takes 10,000 parts of one object. A dump is smaller than its database, save for odd ones.
const PARTS: u64 = 5_000;

/// An upload that has begun.
pub(in crate::backup) struct Upload {
    bucket: Bucket,
    key: Key,
    id: MultipartId,
    part: usize,
    parts: Vec<PartId>,
    hash: Sha256,
    size: u64,
}

impl Upload {
    /// Begins one; `bytes` is about how many there will be.
    pub(in crate::backup) async fn begin(
        bucket: &Bucket,
        path: &str,
        bytes: u64,
    ) -> Result<Self, BackupError> {
        let key = bucket.key(path)?;
        let id = bucket.store.create_multipart(&key).await.map_err(bucket.failed(path))?;
        let part = usize::try_from(bytes / PARTS).unwrap_or(PART).max(PART);
        let (bucket, hash) = (bucket.clone(), Sha256::new());
        Ok(Self { bucket, key, id, part, parts: Vec::new(), hash, size: 0 })
    }

    /// What an unfinished upload is known by to the service.
    pub(in crate::backup) fn id(&self) -> &str {
        &self.id
    }

    /// Sends all that `from` gives.
    pub(in crate::backup) async fn send(
        &mut self,
        mut from: impl AsyncRead + Unpin,
    ) -> Result<(), BackupError> {
        let mut next = fill(&mut from, self.part).await?;
        // The last part may be short, and the first of an empty object is empty.
        while !next.is_empty() || self.parts.is_empty() {
            self.hash.update(&next);
            self.size += next.len() as u64;
            let sent = self.bucket.store.put_part(
                &self.key,
                &self.id,
                self.parts.len(),
                PutPayload::from_bytes(std::mem::take(&mut next)),
            );
            let (sent, filled) = tokio::join!(sent, fill(&mut from, self.part));
            let what = format!("part {} of {}", self.parts.len() + 1, self.key);
            self.parts.push(sent.map_err(failed(&self.bucket.shown, &what))?);
            next = filled?;
        }
        Ok(())
    }

    /// Makes it an object, and says what is in it. `path` is how it is called among the files of its backup.
    pub(in crate::backup) async fn complete(self, path: &str) -> Result<FileDigest, BackupError> {
        let done = self.bucket.store.complete_multipart(&self.key, &self.id, self.parts).await;
        done.map_err(failed(&self.bucket.shown, &format!("the end of {}", self.key)))?;
        let sha256 = hex::encode(self.hash.finalize());
        Ok(FileDigest { path: path.to_owned(), size: self.size, sha256 })
    }
}

impl Bucket {
    /// Gives up an upload that somebody else began. One that is not there any more is as good.
    pub(in crate::backup) async fn abort(&self, path: &str, id: &str) -> Result<(), BackupError> {
        match self.store.abort_multipart(&self.key(path)?, &id.to_owned()).await {
            Err(object_store::Error::NotFound { source, .. }) if !super::said::is_no_bucket(&*source) => {
                Ok(())
            }
            Err(error) if error.to_string().contains("NoSuchUpload") => Ok(()),
            done => done.map_err(self.failed(path)),
        }
    }
}

/// Reads until `size` bytes are there, or no more come.
async fn fill(from: &mut (impl AsyncRead + Unpin), size: usize) -> Result<Bytes, BackupError> {
    let mut bytes = BytesMut::with_capacity(size);
    while bytes.len() < size {
        let room = size - bytes.len();
        let read = (&mut *from).take(room as u64).read_buf(&mut bytes).await;
        if read.map_err(BackupError::file(std::path::Path::new("the dump's output")))? == 0 {
            break;
        }
    }
    Ok(bytes.freeze())
}
