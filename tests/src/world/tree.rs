//! Operations on files as objects.
#![allow(unsafe_code, reason = "writes to the memory that an fstat names")]
//! # Safety
//! As in the parent module.

use super::files::{self, Found};
use super::table::{Object, Open};
use super::{Done, World};
use io_core::op::{self, Fstat, Lseek, OpenFlags};
use io_core::{Errno, Fd};

const S_IFIFO: u16 = 0o010_000;
const S_IFSOCK: u16 = 0o140_000;

impl World {
    pub(super) fn open(&mut self, op: &op::Open, path: Option<&[u8]>) -> Done {
        const OF_PATHS: OpenFlags = OpenFlags::PATH
            .union(OpenFlags::DIRECTORY)
            .union(OpenFlags::NOFOLLOW)
            .union(OpenFlags::CLOEXEC);
        let is_path = op.flags.contains(OpenFlags::PATH);
        let flags = if is_path { op.flags & OF_PATHS } else { op.flags };
        let (access, temporary) = (flags.bits() & 3, flags.contains(OpenFlags::TMPFILE));
        if temporary && (access == 0 || flags.contains(OpenFlags::CREATE)) {
            return Err(Errno::INVAL.into());
        }
        if !temporary && flags.contains(OpenFlags::DIRECTORY | OpenFlags::CREATE) {
            return Err(Errno::INVAL.into());
        }
        let path = path.ok_or(Errno::FAULT)?;
        if path.len() >= 4096 {
            return Err(Errno::NAMETOOLONG.into());
        }
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if self.table.is_full() {
            return Err(Errno::MFILE.into());
        }
        if path.first() != Some(&b'/') && op.dir != Fd::CWD {
            match self.table.any(op.dir)?.object {
                Object::Directory => {}
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        let (reads, writes) = (matches!(access, 0 | 2), matches!(access, 1 | 2));
        let object = self.find(op, flags, path)?;
        let appends = flags.contains(OpenFlags::APPEND);
        let nonblocking = flags.contains(OpenFlags::NONBLOCK);
        let open = Open::new(object, reads && !is_path, writes && !is_path);
        let result = self.add(Open { is_path, appends, nonblocking, ..open })?;
        if !flags.contains(OpenFlags::CLOEXEC) {
            self.table.survives_exec(Fd::new(i32::try_from(result).unwrap_or(-1)));
        }
        Ok(result)
    }

    pub(super) fn find(
        &mut self,
        op: &op::Open,
        flags: OpenFlags,
        path: &[u8],
    ) -> Result<Object, Errno> {
        let writes = flags.bits() & 3 != 0 || flags.contains(OpenFlags::TRUNC);
        let creates = flags.contains(OpenFlags::CREATE);
        if creates && path.ends_with(b"/") {
            // Whatever is there: only a file could be made, and this is no file's name.
            let last = path.iter().rposition(|&byte| byte != b'/').unwrap_or(0);
            let bare = &path[..=last];
            if !matches!(self.files.find(bare)?, Found::Directory) {
                return Err(Errno::ISDIR);
            }
        }
        match self.files.find(path)? {
            Found::Directory if flags.contains(OpenFlags::TMPFILE) => {
                Ok(Object::File(self.files.add(None, op.mode)))
            }
            Found::Directory if creates && flags.contains(OpenFlags::EXCL) => Err(Errno::EXIST),
            Found::Directory if creates || writes => Err(Errno::ISDIR),
            Found::Directory => Ok(Object::Directory),
            Found::File(_) if creates && flags.contains(OpenFlags::EXCL) => Err(Errno::EXIST),
            Found::File(_) if flags.contains(OpenFlags::DIRECTORY) => Err(Errno::NOTDIR),
            Found::File(id) => {
                self.files.open(id);
                if flags.contains(OpenFlags::TRUNC) {
                    // It is a file, and 0 is not too long.
                    let _: Done = self.files.truncate(id, 0);
                }
                Ok(Object::File(id))
            }
            Found::Free { slash: true, .. } if creates => Err(Errno::ISDIR),
            Found::Free { name, .. } if creates => {
                Ok(Object::File(self.files.add(Some(name), op.mode)))
            }
            Found::Free { .. } => Err(Errno::NOENT),
        }
    }

    /// # Safety
    /// * As [`perform`](Self::perform).
    pub(super) unsafe fn fstat(&self, op: &Fstat) -> Done {
        let stat = match self.table.any(op.fd)?.object {
            Object::Directory => files::stat_of_root(),
            Object::File(id) => self.files.stat(id),
            Object::Reader(id) | Object::Writer(id) => files::stat_of(S_IFIFO | 0o600, id.into()),
            Object::Socket(id) => files::stat_of(S_IFSOCK | 0o777, id.into()),
        };
        if op.out.is_null() {
            return Err(Errno::FAULT.into());
        }
        // SAFETY: not null, so valid for a `Stat`, promised by the caller; it may lie at any address.
        unsafe { op.out.write_unaligned(stat) };
        Ok(0)
    }

    pub(super) fn sync(&self, fd: Fd) -> Done {
        let object = self.table.get(fd)?.object;
        if object.is_seekable() { Ok(0) } else { Err(Errno::INVAL.into()) }
    }

    pub(super) fn ftruncate(&mut self, fd: Fd, len: i64) -> Done {
        let len = u64::try_from(len).map_err(|_| Errno::INVAL)?;
        match self.table.get(fd)? {
            Open { object: Object::File(id), writes: true, .. } => self.files.truncate(*id, len),
            _ => Err(Errno::INVAL.into()),
        }
    }

    pub(super) fn lseek(&mut self, op: &Lseek) -> Done {
        let open = self.table.get(op.fd)?;
        if op.whence > 4 {
            return Err(Errno::INVAL.into());
        }
        let (position, id) = match open.object {
            Object::File(id) => (open.position, Some(id)),
            Object::Directory => (open.position, None),
            _ => return Err(Errno::SPIPE.into()),
        };
        let size = id.map_or(0, |id| self.files.size(id));
        let from = |base: u64| base.checked_add_signed(op.offset);
        let to = match (op.whence, id) {
            (0, _) => from(0),
            (1, _) => from(position),
            (2, _) => from(size),
            (whence, Some(id)) => Some(self.files.next_extent(id, op.offset, whence == 4)?),
            _ => None,
        };
        let to = to.filter(|&to| to <= files::MAX_BYTES).ok_or(Errno::INVAL)?;
        self.table.get_mut(op.fd)?.position = to;
        Ok(to.cast_signed())
    }
}
