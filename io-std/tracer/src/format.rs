//! What the preload object leaves and the launcher reads: one mapping and one file per life of a process.
//!
//! A *life* is one program image in one process: it begins with the object's constructor or with a fork, and
//! ends with an exec or the end of the process. Each life has
//!
//! * `PID-N.live`: mapped by the process and shared, a [`Header`] with counters and then [`BLOCKS`] blocks
//!   of [`SLOTS`] slots. What a killed process could not write is still in there.
//! * `PID-N.events`: block after block as they were written through the library, block `n` at
//!   `n * BLOCK_BYTES`; what was never written is a hole.
//!
//! An event is one slot of 32 bytes if it is of the usual kind, two if not, and more of them for its text. The lower half
//! of a slot's last word is its mark, one more than the number of its block; the word is stored last, so that a slot
//! that is not whole is known. Slots at a block's end that are left over have whatever mark was there before.
//!
//! | slot | words |
//! |---|---|
//! | short | `begin`; `took` and `tid`; `result` and `argument`; mark, slots of text, `fd`, call, flags |
//! | wide, first | `begin`; `took`; `result`; mark, call, flags, [`WIDE`] |
//! | wide, second | `argument`; `fd` and `other`; `tid` and bytes of text; mark, [`CONTINUED`] |
//! | text | 24 bytes; mark, [`CONTINUED`] |
//!
//! Of two halves of a word the first named is the lower one. The text of a short event ends at its last byte that is
//! not zero.
//!
//! No dependencies and no `std`: the launcher compiles the same file.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// The first word of a mapping; the last byte is the version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"iotrace\x02");
/// Words of a slot, and its bytes.
pub const WORDS: usize = 4;
pub const SLOT_BYTES: usize = 32;
/// Text that fits in a slot behind an event.
pub const TEXT_BYTES: usize = SLOT_BYTES - 8;
/// In a slot's last word: an event goes on here, so that what is behind one that is not whole is no event.
pub const CONTINUED: u64 = 1 << 63;
/// In the last word of an event's first slot: the next one belongs to it as well.
pub const WIDE: u64 = 1 << 62;
/// Slots of text that a short event can have.
const SHORT_TEXT: usize = 15;
/// Where the parts of a last word are, above the mark.
const TEXT_AT: u32 = 32;
const FD_AT: u32 = 36;
const CALL_AT: u32 = 52;
const FLAGS_AT: u32 = 60;
/// Slots of a block.
pub const SLOTS: usize = 1024;
/// Bytes of a block in the file.
pub const BLOCK_BYTES: usize = SLOTS * SLOT_BYTES;
/// Blocks of a mapping.
pub const BLOCKS: usize = 16;
/// The longest text that is kept.
pub const LONGEST_TEXT: usize = 4096;

/// One slot. All words are atomic, since another process reads them.
#[repr(C, align(32))]
pub struct Slot {
    /// See the top of the file.
    pub words: [AtomicU64; WORDS],
}

/// One block: what it is for, and its slots.
#[repr(C, align(64))]
pub struct Block {
    /// Its number in the file, plus one; 0 while it is free.
    pub number: AtomicU64,
    /// How many of its slots are complete.
    pub committed: AtomicU32,
    /// How many bytes from its beginning are in the file.
    pub written: AtomicU32,
    pub reserved: [u64; 6],
    pub slots: [Slot; SLOTS],
}

/// What a life says of itself. Counters only grow.
#[repr(C, align(4096))]
pub struct Header {
    pub magic: AtomicU64,
    /// The process, and its parent.
    pub pid: AtomicU32,
    pub parent: AtomicU32,
    /// By its [`clock`](Self::clock). `ended` is 0 where nobody could say it.
    pub began: AtomicU64,
    pub ended: AtomicU64,
    /// Events that were begun to be recorded, also those that were dropped.
    pub events: AtomicU64,
    /// Events dropped because there was no room.
    pub dropped: AtomicU64,
    /// Events in writes that failed for good.
    pub failed: AtomicU64,
    /// `errno` of the last such write.
    pub errno: AtomicU32,
    /// [`Route`], as it is now.
    pub route: AtomicU32,
    /// How often the route had to be changed.
    pub detours: AtomicU32,
    /// Threads seen.
    pub threads: AtomicU32,
    /// Write operations that the library completed for this life, and their bytes.
    pub writes: AtomicU64,
    pub bytes: AtomicU64,
    /// Programs that were started without the tracer, because their environment had lost it, and forked children that
    /// could not be given a mapping.
    pub untraced: AtomicU64,
    /// [`NANOSECONDS`] or [`TICKS`]: what its times are.
    pub clock: AtomicU32,
    /// The path of the program, without NUL.
    pub program_len: AtomicU32,
    pub program: [AtomicU32; 256],
}

/// All of a mapping.
#[repr(C)]
pub struct Live {
    pub header: Header,
    pub blocks: [Block; BLOCKS],
}

/// In [`Header::clock`]: nanoseconds of `CLOCK_MONOTONIC`.
pub const NANOSECONDS: u32 = 0;
/// In [`Header::clock`]: ticks of the processor's counter.
pub const TICKS: u32 = 1;

/// Which backend writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Route {
    /// None: the launcher takes what is in the mapping.
    None = 0,
    Pool = 1,
    Epoll = 2,
    Uring = 3,
}

/// An event, taken out of its slots.
///
/// | call | `argument` | `fd`, `other` | text |
/// |---|---|---|---|
/// | open, stat and such | flags, 0 | the directory or `AT_FDCWD`, -1 | the path |
/// | read, write, send, recv | bytes asked for | it, -1 | |
/// | pread, pwrite | the offset | it, -1 | |
/// | readv, writev, sendmsg and such | vectors or messages | it, -1 | |
/// | lseek, ftruncate, truncate | the offset, the length | it, -1 | the path |
/// | rename | flags | both directories | the old path, a NUL, the new one |
/// | dup, fcntl | the lowest number, or flags | the old one, the new one or `-errno` as in `result` | |
/// | socket, socketpair, pipe | the domain, flags | -1, or both that were made | |
/// | connect | the address's length | it, -1 | the address as `connect(2)` takes it |
/// | accept | flags | the listener, -1 | |
/// | sendmmsg, recvmmsg | bytes in all | it, -1 | |
/// | sendfile, copy_file_range | bytes asked for | in, out | |
/// | close_range | the last | the first, flags | |
/// | fork | 0 | -1, -1; the result is the child | |
/// | posix_spawn | 0 | -1, -1; the result is the child | the path |
/// | exec | 0 | -1, or the descriptor | the path; with result 0 when it is begun, and once more with an error if it returns |
/// | exit | the code | -1, -1 | |
/// | stdio | bytes asked for, a position; the result is in bytes, 0 at the end | the stream's, -1 | the path, popen's command |
/// | begin | 0 | -1, -1 | |
/// | descriptor | 0 | one that is open at the begin of a life | what it leads to |
/// | thread | 0 | -1, -1 | its name |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When it began, and how long it took, by the life's [`clock`](Header::clock).
    pub begin: u64,
    pub took: u64,
    /// What the function returned, or `-errno`.
    pub result: i64,
    /// How much was asked for, or where, or flags: by [`Call`].
    pub argument: i64,
    /// The descriptor it works on, or -1; the second one of `dup2`, `sendfile` and such, or -1.
    pub fd: i32,
    pub other: i32,
    pub tid: u32,
    pub call: u16,
    pub flags: u16,
    /// Bytes of text: a path, or what the table says. Of one that was read, at most so many.
    pub text: u32,
}

/// The mark of the slots of a block.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "it begins again after 128 TiB")]
pub const fn mark(number: u64) -> u32 {
    number.wrapping_add(1) as u32
}

/// Whether a last word is of this mark; [`CONTINUED`] in it says the rest.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half")]
pub const fn is_marked(word: u64, mark: u32) -> bool {
    word as u32 == mark
}

#[inline]
const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the lower half")]
const fn low(word: u64) -> u32 {
    word as u32
}

impl Event {
    /// Whether one slot has room for all but the text, as it has for most. `plain`: there is no zero byte in that.
    #[inline]
    pub fn is_short(&self, plain: bool) -> bool {
        u32::try_from(self.took).is_ok()
            && i32::try_from(self.result).is_ok()
            && i32::try_from(self.argument).is_ok()
            && i16::try_from(self.fd).is_ok()
            && self.other == -1
            && (self.text == 0 || plain && self.text as usize <= SHORT_TEXT * TEXT_BYTES)
    }

    /// The words of a short one.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is short")]
    pub fn short(&self, mark: u32) -> [u64; WORDS] {
        let texts = (self.text as usize).div_ceil(TEXT_BYTES) as u64;
        [
            self.begin,
            pair(self.took as u32, self.tid),
            pair(self.result as u32, self.argument as u32),
            self.head(mark) | texts << TEXT_AT | u64::from(self.fd as u16) << FD_AT,
        ]
    }

    /// The words of one that is not.
    pub fn wide(&self, mark: u32) -> [[u64; WORDS]; 2] {
        let first = [self.begin, self.took, self.result.cast_unsigned(), self.head(mark) | WIDE];
        let second = [
            self.argument.cast_unsigned(),
            pair(self.fd.cast_unsigned(), self.other.cast_unsigned()),
            pair(self.tid, self.text),
            u64::from(mark) | CONTINUED,
        ];
        [first, second]
    }

    #[inline]
    fn head(&self, mark: u32) -> u64 {
        u64::from(mark)
            | u64::from(self.call & 0xff) << CALL_AT
            | u64::from(self.flags & 3) << FLAGS_AT
    }

    /// What [`short`](Self::short) or [`wide`](Self::wide) has made; of the latter both slots, the second for `second`.
    #[allow(clippy::cast_possible_truncation, reason = "parts of words")]
    pub fn read(
        first: [u64; WORDS],
        second: impl FnOnce() -> Option<[u64; WORDS]>,
    ) -> Option<Event> {
        let [begin, took, result, head] = first;
        let call = (head >> CALL_AT) as u16 & 0xff;
        let flags = (head >> FLAGS_AT) as u16 & 3;
        if head & WIDE == 0 {
            let texts = (head >> TEXT_AT) as usize & SHORT_TEXT;
            return Some(Event {
                begin,
                took: u64::from(low(took)),
                result: i64::from(low(result).cast_signed()),
                argument: i64::from(low(result >> 32).cast_signed()),
                fd: i32::from((head >> FD_AT) as i16),
                other: -1,
                tid: low(took >> 32),
                call,
                flags,
                text: (texts * TEXT_BYTES) as u32,
            });
        }
        let [argument, fds, rest, _] = second()?;
        Some(Event {
            begin,
            took,
            result: result.cast_signed(),
            argument: argument.cast_signed(),
            fd: low(fds).cast_signed(),
            other: low(fds >> 32).cast_signed(),
            tid: low(rest),
            call,
            flags,
            text: low(rest >> 32),
        })
    }
}

const _: () = assert!(Call::ALL.len() <= 256 && size_of::<Slot>() == SLOT_BYTES);

/// In [`Event::flags`]: a signal handler's, inside of another hook.
pub const NESTED: u16 = 1;
/// In [`Event::flags`]: of a child of `vfork`, which borrows its parent's memory.
pub const BORROWED: u16 = 2;

/// Which of the program's layers a call belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// A function that is a system call.
    System,
    /// One of `stdio.h`.
    Stdio,
    /// Nothing that was called: the tracer says something of itself.
    Note,
}

macro_rules! calls {
    ($($layer:ident: $($name:ident $text:literal),+;)+) => {
        /// What was called. The number is in [`Event::call`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u16)]
        pub enum Call { $($($name),+),+ }

        impl Call {
            /// All of them, in the order of their numbers.
            pub const ALL: &[(Call, Layer, &str)] =
                &[$($((Call::$name, Layer::$layer, $text)),+),+];
        }
    };
}

calls! {
    System: Open "open", OpenAt "openat", Creat "creat", Close "close", Read "read", Write "write",
        Pread "pread", Pwrite "pwrite", Readv "readv", Writev "writev", Preadv "preadv", Pwritev "pwritev",
        Preadv2 "preadv2", Pwritev2 "pwritev2", Lseek "lseek", Fsync "fsync", Fdatasync "fdatasync",
        Ftruncate "ftruncate", Truncate "truncate", Fstat "fstat", Stat "stat", Lstat "lstat", Fstatat "fstatat",
        Statx "statx", Unlink "unlink", UnlinkAt "unlinkat", Rename "rename", RenameAt "renameat",
        RenameAt2 "renameat2", Mkdir "mkdir", MkdirAt "mkdirat", Dup "dup", Dup2 "dup2", Dup3 "dup3",
        Socket "socket", Socketpair "socketpair", Connect "connect", Accept "accept", Accept4 "accept4",
        Send "send", SendTo "sendto", SendMsg "sendmsg", SendMmsg "sendmmsg", Recv "recv", RecvFrom "recvfrom",
        RecvMsg "recvmsg", RecvMmsg "recvmmsg", Sendfile "sendfile", CopyFileRange "copy_file_range",
        CloseRange "close_range", Fork "fork", Spawn "posix_spawn", Spawnp "posix_spawnp", Exec "exec",
        Exit "exit", ExitNow "_exit", Fcntl "fcntl", Pipe "pipe";
    Stdio: Fopen "fopen", Freopen "freopen", Fdopen "fdopen", Fclose "fclose", Fread "fread", Fwrite "fwrite",
        Fflush "fflush", Fgets "fgets", Fputs "fputs", Fgetc "fgetc", Fputc "fputc", Puts "puts", Putchar "putchar",
        Ungetc "ungetc", Getline "getline", Getdelim "getdelim", Fseek "fseek", Ftell "ftell", Rewind "rewind",
        Popen "popen", Pclose "pclose", Tmpfile "tmpfile";
    Note: Begin "begin", Descriptor "descriptor", Thread "thread";
}
