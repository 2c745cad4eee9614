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
//! An event is one slot of 64 bytes, and more of them for its text. The last word of a slot is its mark: one
//! more than the number of its block, and [`TEXT_MARK`] in a slot of text; stored last, so that a slot that is not
//! whole is known. Slots at a block's end that are left over have whatever mark was there before.
//!
//! No dependencies and no `std`: the launcher compiles the same file.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// The first word of a mapping; the last byte is the version.
pub const MAGIC: u64 = u64::from_le_bytes(*b"iotrace\x01");
/// Bytes of a slot.
pub const SLOT_BYTES: usize = 64;
/// Text that fits in a slot behind an event.
pub const TEXT_BYTES: usize = SLOT_BYTES - 8;
/// In the mark of a slot of text, so that text behind an event that is not whole is no event.
pub const TEXT_MARK: u64 = 1 << 63;
/// Slots of a block.
pub const SLOTS: usize = 512;
/// Bytes of a block in the file.
pub const BLOCK_BYTES: usize = SLOTS * SLOT_BYTES;
/// Blocks of a mapping.
pub const BLOCKS: usize = 16;
/// The longest text that is kept.
pub const LONGEST_TEXT: usize = 4096;

/// One slot. All words are atomic, since another process reads them.
#[repr(C, align(64))]
pub struct Slot {
    /// [`Event`] or text, and the mark in the last.
    pub words: [AtomicU64; 8],
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
    /// `CLOCK_MONOTONIC`, in nanoseconds. `ended` is 0 where nobody could say it.
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

/// An event as it lies in a slot.
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
#[repr(C)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub begin: u64,
    pub nanos: u64,
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
    /// Bytes of text in the slots that follow: a path, or what [`Call`] says.
    pub text: u32,
    pub reserved: u32,
}

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
