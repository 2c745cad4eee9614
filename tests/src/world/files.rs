//! Regular files and their names: a flat tree, `/` and the files in it.

use super::memory::Pieces;
use super::{Done, word};
use io_core::{Errno, Stat};
use std::collections::BTreeMap;

/// The largest offset in a file, as on ext4 with pages of 4 KiB.
pub(super) const MAX_BYTES: u64 = (u32::MAX as u64) << 12;

/// Holes come and go by pages.
const PAGE: usize = 4096;
/// The number of the directory.
const ROOT_INO: u64 = 2;

const S_IFDIR: u16 = 0o040_000;
const S_IFREG: u16 = 0o100_000;
/// What `statx(2)` fills: the basic fields and the time of birth.
const STATX_ALL: u32 = 0xfff;

#[derive(Debug, Default)]
struct File {
    pages: BTreeMap<u64, Box<[u8]>>,
    size: u64,
    mode: u16,
    /// Open files and, if it has one, its name.
    users: u32,
    has_name: bool,
}

/// Every file.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: BTreeMap<u32, File>,
    names: BTreeMap<Vec<u8>, u32>,
    next: u32,
}

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The only directory.
    Directory,
    /// A file.
    File(u32),
    /// No file, but one of this name could be made; not a file if a slash is behind the name.
    Free { name: Vec<u8>, slash: bool },
}

/// The page that a position is in, where in it, and how much of `len` bytes fits behind.
fn place(position: u64, len: usize) -> (u64, usize, usize) {
    let page = position / PAGE as u64;
    let inside = usize::try_from(position % PAGE as u64).unwrap_or(0);
    (page, inside, len.min(PAGE - inside))
}

impl Files {
    /// An empty file, open once, with a name or without.
    pub(super) fn add(&mut self, name: Option<Vec<u8>>, mode: u32) -> u32 {
        let id = self.next;
        self.next += 1;
        let mode = u16::try_from(mode & 0o7777 & !0o022).unwrap_or(0);
        let has_name = name.is_some();
        let users = 1 + u32::from(has_name);
        self.files.insert(id, File { mode, users, has_name, ..File::default() });
        if let Some(name) = name {
            self.names.insert(name, id);
        }
        id
    }

    /// One more open file.
    pub(super) fn open(&mut self, id: u32) {
        if let Some(file) = self.files.get_mut(&id) {
            file.users += 1;
        }
    }

    /// One less.
    pub(super) fn close(&mut self, id: u32) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.users -= 1;
        if file.users == 0 {
            self.files.remove(&id);
        }
    }

    /// Takes a name away; `false` if there is none.
    pub(super) fn unlink(&mut self, name: &[u8]) -> bool {
        let Some(id) = self.names.remove(name) else { return false };
        if let Some(file) = self.files.get_mut(&id) {
            file.has_name = false;
        }
        self.close(id);
        true
    }

    /// Walks a path.
    pub(super) fn find(&self, path: &[u8]) -> Result<Found, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let mut found = Found::Directory;
        for part in path.split(|&byte| byte == b'/') {
            match found {
                // A name with something behind it, be it only a slash, is a directory's.
                Found::File(_) => return Err(Errno::NOTDIR),
                Found::Free { name, .. } if part.is_empty() => {
                    found = Found::Free { name, slash: true };
                }
                Found::Free { .. } => return Err(Errno::NOENT),
                Found::Directory if matches!(part, b"" | b"." | b"..") => {}
                Found::Directory if part.len() > 255 => return Err(Errno::NAMETOOLONG),
                Found::Directory => {
                    let file = self.names.get(part).copied();
                    let free = || Found::Free { name: part.to_vec(), slash: false };
                    found = file.map_or_else(free, Found::File);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn size(&self, id: u32) -> u64 {
        self.files.get(&id).map_or(0, |file| file.size)
    }

    /// Copies out from `position`, at most up to the end.
    pub(super) fn read(&self, id: u32, mut position: u64, into: &mut Pieces<'_>) -> Done {
        let Some(file) = self.files.get(&id) else { return Err(Errno::BADF.into()) };
        let end = file.size.min(MAX_BYTES);
        into.cut(usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX));
        let mut done = 0;
        while into.left() > 0 {
            let (page, inside, len) = place(position, into.left());
            let copied = match file.pages.get(&page) {
                Some(bytes) => into.give(&bytes[inside..inside + len]),
                None => into.give(&[0; PAGE][..len]),
            };
            done += copied;
            position += copied as u64;
            if copied < len {
                break;
            }
        }
        // Bytes that were left to copy met a bad address.
        if done == 0 && into.left() > 0 { Err(Errno::FAULT.into()) } else { word(done) }
    }

    /// Copies in at `position`, where the file may grow to.
    pub(super) fn write(&mut self, id: u32, mut position: u64, from: &mut Pieces<'_>) -> Done {
        if from.left() == 0 {
            return Ok(0);
        }
        if position >= MAX_BYTES {
            return Err(Errno::FBIG.into());
        }
        from.cut(usize::try_from(MAX_BYTES - position).unwrap_or(usize::MAX));
        let Some(file) = self.files.get_mut(&id) else { return Err(Errno::BADF.into()) };
        let mut done = 0;
        while from.left() > 0 {
            let (page, inside, len) = place(position, from.left());
            let mut bytes = [0; PAGE];
            let copied = from.take(&mut bytes[..len]);
            if copied > 0 {
                let page = file.pages.entry(page).or_insert_with(|| vec![0; PAGE].into());
                page[inside..inside + copied].copy_from_slice(&bytes[..copied]);
            }
            done += copied;
            position += copied as u64;
            if copied < len {
                break;
            }
        }
        if done == 0 {
            return Err(Errno::FAULT.into());
        }
        file.size = file.size.max(position);
        word(done)
    }

    /// Copies a piece of a file into memory of our own, up to the end of its page.
    pub(super) fn page(&self, id: u32, position: u64, len: usize) -> Vec<u8> {
        let rest = usize::try_from(self.size(id).saturating_sub(position)).unwrap_or(usize::MAX);
        let (page, inside, len) = place(position, len.min(rest));
        match self.files.get(&id).and_then(|file| file.pages.get(&page)) {
            Some(bytes) => bytes[inside..inside + len].to_vec(),
            None => vec![0; len],
        }
    }

    /// Cuts or extends it.
    pub(super) fn truncate(&mut self, id: u32, len: u64) -> Done {
        if len > MAX_BYTES {
            return Err(Errno::FBIG.into());
        }
        let Some(file) = self.files.get_mut(&id) else { return Err(Errno::BADF.into()) };
        file.size = len;
        let (page, inside, _) = place(len, 0);
        file.pages.split_off(&(page + u64::from(inside > 0)));
        if let Some(last) = file.pages.get_mut(&page) {
            last[inside..].fill(0);
        }
        Ok(0)
    }

    /// The next data or hole at or behind `offset`, by pages.
    pub(super) fn next_extent(&self, id: u32, offset: i64, hole: bool) -> Result<u64, Errno> {
        let size = self.size(id);
        let start = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
        let file = self.files.get(&id).ok_or(Errno::BADF)?;
        if start >= size {
            return Err(Errno::NXIO);
        }
        let (first, ..) = place(start, 0);
        let mut page = first;
        if hole {
            while file.pages.contains_key(&page) {
                page += 1;
            }
        } else {
            let next = file.pages.range(first..).next();
            page = next.map(|(&page, _)| page).ok_or(Errno::NXIO)?;
        }
        Ok((page * PAGE as u64).max(start).min(size))
    }

    /// What `statx(2)` says of a file.
    pub(super) fn stat(&self, id: u32) -> Stat {
        let Some(file) = self.files.get(&id) else { return Stat::default() };
        Stat {
            mask: STATX_ALL,
            blksize: 4096,
            nlink: u32::from(file.has_name),
            mode: S_IFREG | file.mode,
            ino: ROOT_INO + 1 + u64::from(id),
            size: file.size,
            blocks: file.pages.len() as u64 * 8,
            ..Stat::default()
        }
    }
}

/// What `statx(2)` says of what is no regular file.
pub(super) fn stat_of(kind: u16, ino: u64) -> Stat {
    Stat { mask: STATX_ALL, blksize: 4096, nlink: 1, mode: kind, ino, ..Stat::default() }
}

/// What `statx(2)` says of the directory.
pub(super) fn stat_of_root() -> Stat {
    Stat { nlink: 2, size: 4096, ..stat_of(S_IFDIR | 0o755, ROOT_INO) }
}
