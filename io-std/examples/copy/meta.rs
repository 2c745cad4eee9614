//! Owner, permissions and times; symbolic links and FIFOs: plain system calls.

use io_core::Stat;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, fchown,
    futimens, mknodat, utimensat,
};
use rustix::process::{getegid, geteuid};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// The permission bits, with set-id and sticky.
const PERMISSIONS: u32 = 0o7777;

/// What is kept of an inode.
pub(crate) struct Kept {
    uid: u32,
    gid: u32,
    mode: u32,
    times: Timestamps,
}

impl From<&Stat> for Kept {
    fn from(stat: &Stat) -> Kept {
        let time = |stamp: io_core::op::StatTimestamp| Timespec {
            tv_sec: stamp.sec,
            tv_nsec: stamp.nsec.into(),
        };
        Kept {
            uid: stat.uid,
            gid: stat.gid,
            mode: u32::from(stat.mode) & PERMISSIONS,
            times: Timestamps {
                last_access: time(stat.atime),
                last_modification: time(stat.mtime),
            },
        }
    }
}

impl From<&Metadata> for Kept {
    fn from(metadata: &Metadata) -> Kept {
        Kept {
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.permissions().mode() & PERMISSIONS,
            times: Timestamps {
                last_access: Timespec { tv_sec: metadata.atime(), tv_nsec: metadata.atime_nsec() },
                last_modification: Timespec {
                    tv_sec: metadata.mtime(),
                    tv_nsec: metadata.mtime_nsec(),
                },
            },
        }
    }
}

/// Whom new files belong to.
pub(crate) struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    pub(crate) fn of_process() -> Owner {
        Owner { uid: geteuid(), gid: getegid() }
    }
}

impl Kept {
    fn other_owner(&self, owner: &Owner) -> Option<(Option<Uid>, Option<Gid>)> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let change = ((uid != owner.uid).then_some(uid), (gid != owner.gid).then_some(gid));
        (change != (None, None)).then_some(change)
    }

    /// For an open file. The owner goes first, because it clears set-id bits.
    pub(crate) fn apply_to_fd(&self, fd: impl AsFd, owner: &Owner) -> io::Result<()> {
        if let Some((uid, gid)) = self.other_owner(owner) {
            // Only the superuser may; the others get a file of their own, as with cp.
            let _ = fchown(&fd, uid, gid);
        }
        fchmod(&fd, Mode::from_raw_mode(self.mode))?;
        futimens(&fd, &self.times)?;
        Ok(())
    }

    /// For a directory that is complete.
    pub(crate) fn apply_to_dir(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        if let Some((uid, gid)) = self.other_owner(owner) {
            // As above.
            let _ = chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
        }
        chmodat(CWD, path, Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        utimensat(CWD, path, &self.times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// For a link itself, which has no mode.
    fn apply_to_link(&self, path: &Path, owner: &Owner) -> io::Result<()> {
        if let Some((uid, gid)) = self.other_owner(owner) {
            // As above.
            let _ = chownat(CWD, path, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
        }
        utimensat(CWD, path, &self.times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    }
}

/// A symbolic link with the same text.
pub(crate) fn copy_symlink(src: &Path, dst: &Path, owner: &Owner) -> io::Result<()> {
    let metadata = fs::symlink_metadata(src)?;
    std::os::unix::fs::symlink(fs::read_link(src)?, dst)?;
    Kept::from(&metadata).apply_to_link(dst, owner)
}

/// A FIFO with the same permissions.
pub(crate) fn copy_fifo(src: &Path, dst: &Path, owner: &Owner) -> io::Result<()> {
    let metadata = fs::symlink_metadata(src)?;
    mknodat(CWD, dst, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Kept::from(&metadata).apply_to_dir(dst, owner)
}
