//! [`OpenOptions`]: how to open a file, in the words of the standard library.

use super::File;
use crate::error::io_error;
use crate::io::Io;
use io_core::OpenFlags;
use io_core::ops::Ops;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How to open a file. Descriptors are always close-on-exec.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    flags: OpenFlags,
}

impl OpenOptions {
    /// Everything off; a created file has mode `0o666`, cut by the umask.
    #[must_use]
    pub const fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            flags: OpenFlags::empty(),
        }
    }

    /// For reading.
    pub const fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// For writing.
    pub const fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// For writing at the end.
    pub const fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// Cut to length 0.
    pub const fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// Create it if it is not there.
    pub const fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Create it; `AlreadyExists` if it is there.
    pub const fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// Permissions of a created file, cut by the umask.
    pub const fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Flags beside those that the other methods stand for.
    pub const fn custom_flags(&mut self, flags: OpenFlags) -> &mut OpenOptions {
        self.flags = flags;
        self
    }

    /// The kernel's flags.
    ///
    /// # Errors
    /// `InvalidInput` for neither reading nor writing, or creating and cutting without writing: the
    /// kernel would not refuse all of those.
    fn flags(&self) -> io::Result<OpenFlags> {
        let write = self.write || self.append;
        let mut flags = match (self.read, write) {
            (true, true) => OpenFlags::RDWR,
            (false, true) => OpenFlags::WRONLY,
            (true, false) => OpenFlags::RDONLY,
            (false, false) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let changes = self.truncate || self.create || self.create_new;
        if changes && !write || self.truncate && self.append {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        flags.set(OpenFlags::APPEND, self.append);
        flags.set(OpenFlags::TRUNC, self.truncate);
        flags.set(OpenFlags::CREATE, self.create || self.create_new);
        flags.set(OpenFlags::EXCL, self.create_new);
        Ok(flags | self.flags | OpenFlags::CLOEXEC)
    }

    /// Opens `path` on `io` (`openat(2)` from the working directory).
    ///
    /// # Errors
    /// Those of the system call; `InvalidInput` for a path with a NUL in it, or for options that make
    /// no sense together.
    pub async fn open(&self, io: &Io, path: impl AsRef<Path>) -> io::Result<File> {
        let (flags, path) = (self.flags()?, with_nul(path.as_ref())?);
        let fd = io.open(path, flags, self.mode).await.map_err(io_error)?;
        Ok(File::from_fd(io, fd))
    }

    /// Opens `path`, relative to the directory `dir`, on the directory's backend (`openat(2)`).
    ///
    /// # Errors
    /// As [`open`](OpenOptions::open); `NotADirectory` if `dir` is none.
    pub async fn open_at(&self, dir: &File, path: impl AsRef<Path>) -> io::Result<File> {
        let (flags, path) = (self.flags()?, with_nul(path.as_ref())?);
        let fd = dir.io.open_at(dir.shared.clone(), path, flags, self.mode).await;
        Ok(File::from_fd(&dir.io, fd.map_err(io_error)?))
    }
}

fn with_nul(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}
