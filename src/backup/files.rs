//! The files of a backup: made durable, read back, compared.

use super::BackupError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Read at once while hashing. Two orders above the cost of a system call, two below what a small Job may hold.
const CHUNK: usize = 1 << 20;

/// One file as it was on the disk when the backup was finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDigest {
    /// Relative to the folder of the dump, with `/`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// Lower-case hex of the SHA-256 of `bytes`.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Makes every file below `root` and the folders durable, then reads each back from the disk.
///
/// Hashing what was written while it is written proves that we can hash; the page cache is dropped before the file is
/// read again, so that the digest is that of what the disk has.
pub(super) fn settle(root: &Path) -> Result<Vec<FileDigest>, BackupError> {
    let mut folders = vec![root.to_owned()];
    let paths = walk(root, &mut folders)?;
    for path in &paths {
        let sync = || {
            let file = File::open(path)?;
            file.sync_all()?;
            // Advice only: a filesystem that does not know it reads from the cache.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
            io::Result::Ok(())
        };
        sync().map_err(BackupError::file(path))?;
    }
    for folder in &folders {
        File::open(folder).and_then(|it| it.sync_all()).map_err(BackupError::file(folder))?;
    }
    paths.iter().map(|path| digest_of(root, path)).collect()
}

/// Compares the files below `root` with what the manifest says of them; one sentence for each that differs.
pub(super) fn differences(root: &Path, expected: &[FileDigest]) -> Result<Vec<String>, BackupError> {
    let mut found = BTreeMap::new();
    for path in walk(root, &mut Vec::new())? {
        found.insert(relative(root, &path), path);
    }
    let mut differences = Vec::new();
    for file in expected {
        let Some(path) = found.remove(&file.path) else {
            differences.push(format!("{} is missing", file.path));
            continue;
        };
        let size = fs::metadata(&path).map_err(BackupError::file(&path))?.len();
        if size != file.size {
            differences.push(format!("{} has {size} bytes, not {}", file.path, file.size));
        } else if digest_of(root, &path)?.sha256 != file.sha256 {
            differences.push(format!("{} has another SHA-256 than when it was written", file.path));
        }
    }
    differences.extend(found.keys().map(|path| format!("{path} does not belong to it")));
    Ok(differences)
}

/// Bytes that we may still write to the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> Result<u64, BackupError> {
    let stat = rustix::fs::statvfs(path).map_err(|errno| BackupError::file(path)(io::Error::from(errno)))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes of all files below `root`; what can't be read counts as nothing.
pub(super) fn bytes_below(root: &Path) -> u64 {
    let paths = walk(root, &mut Vec::new()).unwrap_or_default();
    paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|it| it.len()).sum()
}

fn digest_of(root: &Path, path: &Path) -> Result<FileDigest, BackupError> {
    let read = || {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return io::Result::Ok((size, hex::encode(hash.finalize())));
            }
            size += count as u64;
            hash.update(&chunk[..count]);
        }
    };
    let (size, sha256) = read().map_err(BackupError::file(path))?;
    Ok(FileDigest { path: relative(root, path), size, sha256 })
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("it was found below the root").to_string_lossy().into_owned()
}

/// All files below `root`, sorted; folders are added to `folders`. Links are not followed: a backup has none.
fn walk(root: &Path, folders: &mut Vec<PathBuf>) -> Result<Vec<PathBuf>, BackupError> {
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(BackupError::file(&folder))? {
            let entry = entry.map_err(BackupError::file(&folder))?;
            let kind = entry.file_type().map_err(BackupError::file(&entry.path()))?;
            if kind.is_dir() {
                folders.push(entry.path());
                open.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("blobs")).unwrap();
        for (name, text) in
            [("toc.dat", "toc"), ("1.dat.gz", "one"), ("2.dat.gz", "two"), ("blobs/3", "three")]
        {
            fs::write(root.join(name), text).unwrap();
        }
        let settled = settle(root).unwrap();
        assert_eq!(
            settled.iter().map(|it| it.path.as_str()).collect::<Vec<_>>(),
            ["1.dat.gz", "2.dat.gz", "blobs/3", "toc.dat"]
        );
        assert_eq!(differences(root, &settled).unwrap(), [""; 0]);
        fs::write(root.join("1.dat.gz"), "onE").unwrap();
        fs::write(root.join("blobs/3"), "thre").unwrap();
        fs::remove_file(root.join("2.dat.gz")).unwrap();
        fs::write(root.join("4"), "four").unwrap();
        assert_eq!(
            differences(root, &settled).unwrap(),
            [
                "1.dat.gz has another SHA-256 than when it was written",
                "2.dat.gz is missing",
                "blobs/3 has 4 bytes, not 5",
                "4 does not belong to it",
            ]
        );
        assert_eq!(bytes_below(root), 3 + 4 + 3 + 4);
        assert!(free_bytes(root).unwrap() > 0);
    }
}
