//! A folder that is held open, and what is below it: reached step by step, never through a link.
//!
//! A path is looked up anew at each call, and somebody else who may write to the volume can put a link into it between
//! two of them. A folder that is held open is this folder, whatever its path leads to by then.

use rustix::{
    fd::{AsFd as _, OwnedFd},
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// A folder.
pub(super) struct Folder {
    fd: OwnedFd,
    device: u64,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// In bytes, of a file.
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a socket, a pipe, a device, the root of another volume, a name that is no text: nothing that a backup has.
    Other,
}

impl Folder {
    /// Opens the folder of all backups, by the path that its owner gave.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::of(fs::open(path, FOLDER, Mode::empty())?)
    }

    /// Opens a folder in this one; a link to one is an error.
    pub(super) fn folder(&self, name: &str) -> io::Result<Self> {
        Self::of(fs::openat(&self.fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?)
    }

    fn of(fd: OwnedFd) -> io::Result<Self> {
        let device = fs::fstat(&fd)?.st_dev;
        Ok(Self { fd, device })
    }

    /// What is in it, sorted by name.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut all = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            let stat = match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                _ if stat.st_dev != self.device => Kind::Other,
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Folder,
                _ => Kind::Other,
            };
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let (name, kind) = match name.to_str() {
                Ok(name) => (name.to_owned(), kind),
                Err(_) => (name.to_string_lossy().into_owned(), Kind::Other),
            };
            all.push(Entry { name, kind, size });
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(all)
    }

    /// Every file below it, with its path from here.
    ///
    /// # Errors
    /// The path of the first thing that is neither file nor folder, as the inner one.
    pub(super) fn files(&self) -> io::Result<Result<Vec<Entry>, String>> {
        let mut all = Vec::new();
        for entry in self.entries()? {
            match entry.kind {
                Kind::File => all.push(entry),
                Kind::Other => return Ok(Err(entry.name)),
                Kind::Folder => {
                    let below = match self.folder(&entry.name)?.files()? {
                        Ok(below) => below,
                        Err(name) => return Ok(Err(format!("{}/{name}", entry.name))),
                    };
                    let path = |it: Entry| Entry { name: format!("{}/{}", entry.name, it.name), ..it };
                    all.extend(below.into_iter().map(path));
                }
            }
        }
        Ok(Ok(all))
    }

    /// The bytes of a file in it; none if there is none. A link, or more than `limit` bytes, is an error.
    pub(super) fn read(&self, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // A pipe of that name would keep us waiting for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!("it has more than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file, or the link of that name and never what it leads to.
    pub(super) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub(super) fn remove_folder(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Removes a folder with all files and folders below it.
    pub(super) fn remove_all(&self, name: &str) -> io::Result<()> {
        let folder = match self.folder(name) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in folder.entries()? {
            match entry.kind {
                Kind::File => folder.remove_file(&entry.name)?,
                Kind::Folder => folder.remove_all(&entry.name)?,
                Kind::Other => {
                    return Err(io::Error::other(format!("{} is neither file nor folder", entry.name)));
                }
            }
        }
        self.remove_folder(name)
    }

    /// Makes what was renamed and removed here survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(self.fd.as_fd())?)
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
