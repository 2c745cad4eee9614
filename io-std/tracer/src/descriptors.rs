//! What is open when a life begins, so that the launcher can name the files.

use crate::files::EVENTS;
use crate::format::Call;
use crate::life::Life;
use crate::ours::is_protected;
use crate::record::{Event, put};
use core::mem::MaybeUninit;
use rustix::fd::AsRawFd;
use rustix::fs::{CWD, Mode, OFlags, RawDir, openat, readlinkat_raw};

/// Notes every descriptor that is not ours, and what it leads to. Where that cannot be asked, the launcher has
/// numbers for names.
pub(crate) fn note_all(life: Life) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(dir) = openat(CWD, c"/proc/self/fd", flags, Mode::empty()) else { return };
    let ours = [dir.as_raw_fd(), EVENTS.fd()];
    let mut room = [MaybeUninit::<u8>::uninit(); 1024];
    let mut list = RawDir::new(&dir, &mut room);
    while let Some(Ok(entry)) = list.next() {
        let Some(fd) = number(entry.file_name().to_bytes()) else { continue };
        // A forked child has those of its parent's tracer still.
        if ours.contains(&fd) || is_protected(fd) {
            continue;
        }
        let mut room = [MaybeUninit::<u8>::uninit(); 512];
        let Ok((target, _)) = readlinkat_raw(&dir, entry.file_name(), &mut room) else { continue };
        put(life, &Event { fd, ..Event::note(Call::Descriptor) }, target);
    }
}

/// `None` for what is no number: `.` and `..`.
fn number(name: &[u8]) -> Option<i32> {
    name.iter().try_fold(0_i32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(i32::from(digit))
    })
}
