//! Noticing a fork, for backends: one load of a page that the kernel wipes in a forked child.
//!
//! The page (`mmap(2)`, `madvise(2)` with `MADV_WIPEONFORK`) is the process's, is made with the first
//! backend, and is never unmapped. It holds the process's *generation*; a child finds 0 there, and the
//! first backend that is made, or made new, in the child writes the next number. A backend remembers the
//! generation it was made in ([`Lineage`]): if the page says another, the backend is the parent's, and
//! nothing of it, no lock, list, counter or ring, may be touched.
//!
//! A child of `vfork(2)` shares the page with its parent, as it shares everything, and must not call the
//! library; making a backend new is refused there. Where the kernel does not know `MADV_WIPEONFORK`
//! (before 4.14, and some emulators), `getpid(2)` is asked at each call instead, and such a child is not told
//! from others.
#![allow(unsafe_code, reason = "maps a page and refers to it for ever")]
//! # Safety
//! The page is mapped readable and writable for the rest of the program, and holds one atomic word.

use crate::errno::Errno;
use crate::sync::Ordering;
use crate::sync::plain::{AtomicI32, AtomicPtr, AtomicU32, spin_loop};
use core::ptr::{self, NonNull};

/// The wiped page; null before the first backend.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// The newest generation of this process or of those it was forked from. Not wiped.
static NEWEST: AtomicU32 = AtomicU32::new(0);
/// The process whose generation that is. Not wiped.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Stands in for the page where it cannot be wiped: always 0, so that [`NUMBER`] is asked instead.
static UNWIPED: AtomicU32 = AtomicU32::new(0);
/// The generation where there is no page: it counts only in the process that [`PROCESS`] says.
static NUMBER: AtomicU32 = AtomicU32::new(0);
/// The process, a thread of which is writing those two; 0 if none is.
static WRITING: AtomicI32 = AtomicI32::new(0);

/// Set in a backend's generation while somebody makes it new. A claim says in which process, so that one
/// that was forked away with its thread binds nobody.
const CLAIMED: u32 = 1 << 31;

/// The generation that a backend was made in.
#[derive(Debug)]
pub struct Lineage {
    page: &'static AtomicU32,
    /// With `CLAIMED` while somebody makes the backend new.
    born: AtomicU32,
}

impl Lineage {
    /// Of a backend that is made now.
    ///
    /// # Errors
    /// `ENOMEM` from `mmap(2)`, for the first one of the process.
    pub fn new() -> Result<Lineage, Errno> {
        let page = page()?;
        Ok(Lineage { page, born: AtomicU32::new(current(page)) })
    }

    /// The generation, or 0 if the backend is the parent's: see
    /// [`IoBackend::generation`](crate::IoBackend::generation). Async-signal-safe.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> u32 {
        // Ordering: Acquire pairs with the Release of `finish`: who sees the new number sees the new backend.
        let born = self.born.load(Ordering::Acquire);
        // Ordering: Acquire, for PROCESS in `adopt`.
        if born == self.page.load(Ordering::Acquire) { born } else { self.generation_slowly(born) }
    }

    /// In a child, or where no page can be wiped.
    #[cold]
    fn generation_slowly(&self, born: u32) -> u32 {
        if born == read(self.page) { born } else { 0 }
    }

    /// Whether the backend is the parent's.
    #[inline]
    #[must_use]
    pub fn is_forked(&self) -> bool {
        self.generation() == 0
    }

    /// The right to make the backend new in this child. Until it is finished the backend stays the
    /// parent's for everybody else.
    ///
    /// # Errors
    /// `EALREADY` if the backend is this process's; `EBUSY` if another thread is at it; `EPERM` in a child
    /// of `vfork(2)`.
    pub fn adopt(&self) -> Result<Adoption<'_>, Errno> {
        let born = self.born.load(Ordering::Acquire);
        let generation = current(self.page);
        if PROCESS.load(Ordering::Relaxed) != process() {
            return Err(Errno::PERM);
        }
        if born == generation {
            return Err(Errno::ALREADY);
        }
        let claim = generation | CLAIMED;
        // Ordering: Acquire, one thread at a time sees what the last one left.
        let claimed = self.born.compare_exchange(born, claim, Ordering::Acquire, Ordering::Relaxed);
        if born == claim || claimed.is_err() {
            return Err(Errno::BUSY);
        }
        Ok(Adoption { lineage: self, becomes: born, generation })
    }
}

/// The right to make a backend new. Dropped unfinished, the backend stays the parent's.
#[derive(Debug)]
pub struct Adoption<'l> {
    lineage: &'l Lineage,
    becomes: u32,
    generation: u32,
}

impl Adoption<'_> {
    /// The backend is new, and this process's.
    pub fn finish(mut self) {
        self.becomes = self.generation;
    }
}

impl Drop for Adoption<'_> {
    fn drop(&mut self) {
        // Ordering: Release publishes the new backend to `generation`.
        self.lineage.born.store(self.becomes, Ordering::Release);
    }
}

fn is_unwiped(page: &AtomicU32) -> bool {
    ptr::eq(page, &raw const UNWIPED)
}

/// What the page says: 0 in a child.
#[inline]
fn read(page: &AtomicU32) -> u32 {
    if is_unwiped(page) {
        return unwiped();
    }
    // Ordering: Acquire, for PROCESS in `adopt`.
    page.load(Ordering::Acquire)
}

#[cold]
fn unwiped() -> u32 {
    // Ordering: Acquire pairs with the store in `number`, which comes after the word's. Under Miri nobody
    // forks.
    let ours = cfg!(miri) || PROCESS.load(Ordering::Acquire) == process();
    if ours { NUMBER.load(Ordering::Acquire) } else { 0 }
}

/// Numbers this process where no page can be wiped. Threads that want to at once do it one after the other:
/// a second number would be another generation in the same process.
fn number() {
    let this = process();
    // A number of another process is that of a thread which was not forked along.
    let free = |&writing: &i32| writing != this;
    let begin = || {
        let writing = Some(WRITING.load(Ordering::Relaxed)).filter(free)?;
        // Ordering: Acquire sees what the last one wrote.
        WRITING.compare_exchange(writing, this, Ordering::Acquire, Ordering::Relaxed).ok()
    };
    while begin().is_none() {
        spin_loop();
    }
    if unwiped() == 0 {
        NUMBER.store(next(), Ordering::Release);
        PROCESS.store(this, Ordering::Release);
    }
    WRITING.store(0, Ordering::Release);
}

/// A number that no process was given that this one comes from.
fn next() -> u32 {
    let newest = NEWEST.load(Ordering::SeqCst);
    // Operations keep the lower half, which is not 0 either; CLAIMED is not a generation's.
    let next = if newest & 0xffff == 0xffff { newest + 2 } else { newest + 1 } & !CLAIMED;
    // Before it is published, so that a child that is forked in between never uses the number again.
    NEWEST.fetch_max(next, Ordering::SeqCst);
    next
}

fn process() -> i32 {
    rustix::process::Pid::as_raw(Some(rustix::process::getpid()))
}

/// This process's generation; the next one if it has none yet.
fn current(page: &AtomicU32) -> u32 {
    loop {
        let now = read(page);
        if now != 0 {
            return now;
        }
        if is_unwiped(page) {
            number();
        } else {
            let next = next();
            PROCESS.store(process(), Ordering::SeqCst);
            // One of several threads wins, and all take its number.
            let _: Result<u32, u32> =
                page.compare_exchange(0, next, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

fn page() -> Result<&'static AtomicU32, Errno> {
    if let Some(page) = NonNull::new(PAGE.load(Ordering::Acquire)) {
        // SAFETY: published below, mapped for ever.
        return Ok(unsafe { page.as_ref() });
    }
    let new = map()?;
    let first = ptr::from_ref(new).cast_mut();
    // Ordering: Release publishes the mapping.
    match PAGE.compare_exchange(ptr::null_mut(), first, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(new),
        Err(other) => {
            unmap(new);
            // SAFETY: another thread's, not null, mapped for ever.
            Ok(unsafe { &*other })
        }
    }
}

#[cfg(miri)]
fn map() -> Result<&'static AtomicU32, Errno> {
    Ok(&UNWIPED)
}

#[cfg(miri)]
fn unmap(_: &'static AtomicU32) {}

/// The length of a mapping of one page, whatever its size is.
#[cfg(not(miri))]
const LEN: usize = 4096;

#[cfg(not(miri))]
fn map() -> Result<&'static AtomicU32, Errno> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), LEN, protection, MapFlags::PRIVATE) }
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    // SAFETY: the whole of the mapping just made, which nobody uses yet.
    if unsafe { madvise(page, LEN, Advice::LinuxWipeOnFork) }.is_err() {
        // SAFETY: as above.
        let _: rustix::io::Result<()> = unsafe { rustix::mm::munmap(page, LEN) };
        return Ok(&UNWIPED);
    }
    // SAFETY: mapped, zeroed, aligned, and from here on an atomic word.
    Ok(unsafe { &*page.cast::<AtomicU32>() })
}

#[cfg(not(miri))]
fn unmap(page: &'static AtomicU32) {
    if !is_unwiped(page) {
        let page = ptr::from_ref(page).cast_mut().cast();
        // SAFETY: made by `map`, and nobody else has seen it. It can only fail for what is not mapped.
        let _: rustix::io::Result<()> = unsafe { rustix::mm::munmap(page, LEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::{CLAIMED, Lineage, NUMBER, PROCESS, UNWIPED, current, page};
    use crate::errno::Errno;
    use crate::sync::Ordering;
    use crate::sync::plain::AtomicU32;
    use std::sync::Mutex;

    /// The numbers are the process's, and so are those of all tests.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn a_backend_of_this_process_is_not_made_new() {
        let _alone = ONE_AT_A_TIME.lock();
        let one = Lineage::new().expect("a page");
        let two = Lineage::new().expect("a page");
        assert_ne!(one.generation(), 0);
        assert_eq!(one.generation(), two.generation());
        assert!(!one.is_forked());
        assert_eq!(one.adopt().map(drop), Err(Errno::ALREADY));
    }

    #[test]
    fn a_backend_of_before_is_made_new_by_one_thread_of_this_process() {
        let _alone = ONE_AT_A_TIME.lock();
        let page = page().expect("a page");
        for page in [page, &UNWIPED] {
            let now = current(page);
            assert!(now & 0xffff != 0 && now & CLAIMED == 0, "{now:#x}");
            // Of a process before; and of one whose thread was about to make it new when it forked.
            for before in [now ^ 2, now ^ 2 | CLAIMED] {
                let lineage = Lineage { page, born: AtomicU32::new(before) };
                assert!(lineage.is_forked());
                let given_up = lineage.adopt().expect("the first");
                assert_eq!(lineage.adopt().map(drop), Err(Errno::BUSY));
                assert!(lineage.is_forked());
                drop(given_up);
                assert!(lineage.is_forked());
                lineage.adopt().expect("the next").finish();
                assert_eq!(lineage.generation(), now);
                assert_eq!(lineage.adopt().map(drop), Err(Errno::ALREADY));
            }
        }
    }

    #[test]
    fn threads_that_number_a_process_at_once_agree() {
        let _alone = ONE_AT_A_TIME.lock();
        for _ in 0..if cfg!(miri) { 5 } else { 200 } {
            // As after a fork.
            NUMBER.store(0, Ordering::SeqCst);
            PROCESS.store(-1, Ordering::SeqCst);
            let mut numbers = std::thread::scope(|scope| {
                let threads = [(); 3].map(|()| scope.spawn(|| current(&UNWIPED)));
                threads.map(|thread| thread.join().expect("no panic"))
            });
            numbers.sort_unstable();
            assert_eq!((numbers[0], numbers[0]), (numbers[1], numbers[2]));
        }
    }
}
