//! What a program does next, by choice. Most operations are of a kind that their object is for, with
//! arguments that make sense; some are not.

use super::objects::Table;
use super::script::{Access, Act, Kind, Limit, Memory, Name, Object, Piece, Target};
use crate::choices::Choices;
use crate::rig::Form;
use io_core::OpKind;

/// Numbers that are open nowhere.
const NUMBERS: [i32; 6] = [-1, 1_000_000, i32::MAX, -2, -99, i32::MIN];

/// Lengths of memory in bytes.
const LENGTHS: [usize; 12] = [16, 1, 8, 0, 100, 511, 512, 4096, 4097, 3, 9000, 70_000];

/// Lengths that an operation says it has.
const CLAIMS: [usize; 10] = [
    0,
    5000,
    0x7fff_f000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0064,
    usize::MAX >> 1,
    usize::MAX,
];

const OFFSETS: [i64; 16] = [
    0,
    1,
    16,
    511,
    512,
    4095,
    4096,
    10_000,
    65_000,
    -1,
    -2,
    i64::MIN,
    i64::MAX,
    i64::MAX - 15,
    i64::MAX - 16,
    i64::MAX - 4096,
];

const NAMES: [&str; 16] = [
    "there",
    "new0",
    "new1",
    "dir",
    "nothing",
    "",
    "link",
    "dangling",
    "loop",
    ".",
    "there/",
    "dir/..",
    "dir/new",
    "there/x",
    "nothing/x",
    "./there",
];

/// Flags of an open: of no use, alone and with each other.
const OPENS: [u32; 20] = [
    0o0,
    0o2,
    0o1,
    0o102,
    0o302,
    0o1002,
    0o2001,
    0o200_000,
    0o400_000,
    0o10_000_000,
    0o20_200_002,
    0o2_000_000,
    0o4002,
    0o3,
    0o40_002,
    0o1_000_000,
    0o4_010_102,
    0o200_100,
    0o20_000_000,
    u32::MAX,
];

/// Flags of messages: none, and each that a user may give. Waiting for all is not among them.
const MESSAGES: [u32; 12] =
    [0, 0x40, 0x2, 0x20, 0x22, 0x1, 0x8000, 0x4, 0x80, 0x2000, 0x42, 0x4000_0000];

const EVENTS: [u32; 12] = [1, 4, 5, 0, 2, 0x2001, 0x2000, 0x40, 0x100, 0x18, 0xffff, 0x3c7];

/// Kinds of operations that suit an object.
fn suitable(kind: Option<Kind>) -> &'static [OpKind] {
    use OpKind::{
        Accept, Bind, Close, Connect, Fdatasync, Fstat, Fsync, Ftruncate, Listen, Lseek, Open,
        Poll, Pread, Preadv, Pwrite, Pwritev, Read, Readv, Recv, Send, Sendfile, Shutdown, Write,
        Writev,
    };
    match kind {
        Some(Kind::File) => &[
            Pread, Pwrite, Read, Write, Preadv, Pwritev, Readv, Writev, Lseek, Fstat, Ftruncate,
            Fsync, Fdatasync, Sendfile, Poll, Close,
        ],
        Some(Kind::PipeOut) => &[Read, Readv, Poll, Fstat, Close],
        Some(Kind::PipeIn) => &[Write, Writev, Sendfile, Poll, Close],
        Some(Kind::Socket) => &[
            Recv, Send, Read, Write, Readv, Writev, Poll, Shutdown, Sendfile, Connect, Bind,
            Listen, Close, Fstat,
        ],
        Some(Kind::Listener) => &[Accept, Poll, Listen, Shutdown, Bind, Close],
        Some(Kind::Directory) => &[Open, Open, Fstat, Poll, Fsync, Lseek, Close],
        Some(Kind::Device) => &[Write, Read, Pwrite, Writev, Poll, Sendfile, Close],
        Some(Kind::Counter) => &[Read, Write, Poll, Readv, Close],
        None => &OpKind::ALL,
    }
}

/// An object to make.
pub(super) fn object(choices: &Choices) -> Object {
    match choices.below(12) {
        0 => {
            let len = *choices.pick(&[100, 0, 1, 4096, 5000, 9000]);
            let access = *choices.pick(&[
                Access::Both,
                Access::Both,
                Access::Read,
                Access::Write,
                Access::Append,
            ]);
            Object::File { len, access, disk: choices.chance(8) }
        }
        1 | 2 => Object::Pipe,
        3 | 4 => Object::Pair(libc::SOCK_STREAM),
        5 => Object::Pair(*choices.pick(&[libc::SOCK_DGRAM, libc::SOCK_SEQPACKET])),
        6 => Object::Listener,
        7 => Object::Client,
        8 => Object::Directory,
        9 => Object::Place,
        10 => *choices.pick(&[Object::Null, Object::Full]),
        _ => Object::Counter(*choices.pick(&[0, 1, 7])),
    }
}

/// How an operation is heard of.
pub(super) fn form(choices: &Choices) -> Form {
    *choices.pick(&Form::ALL)
}

/// A deadline.
pub(super) fn limit(choices: &Choices) -> Limit {
    match choices.below(16) {
        0..=11 => Limit::None,
        12 | 13 => Limit::Far,
        14 => Limit::Past,
        _ => Limit::Soon,
    }
}

/// Any place in the list, or a number.
fn target(choices: &Choices, table: &Table<'_>) -> Target {
    if table.len() == 0 || choices.chance(12) {
        return Target::Number(*choices.pick(&NUMBERS));
    }
    Target::Slot(choices.index(table.len()))
}

/// A place of this kind, if there is one.
fn of_kind(choices: &Choices, table: &Table<'_>, wanted: Kind) -> Target {
    let first = target(choices, table);
    let all = (0..table.len()).map(Target::Slot);
    all.chain([first]).find(|slot| table.kind(*slot) == Some(wanted)).unwrap_or(first)
}

fn piece(choices: &Choices) -> Piece {
    let access = match choices.below(16) {
        0..=12 => Memory::Good,
        13 => Memory::Null,
        14 => Memory::Closed,
        _ => Memory::ReadOnly,
    };
    Piece { access, len: *choices.pick(&LENGTHS) }
}

fn pieces(choices: &Choices, kind: OpKind) -> Vec<Piece> {
    use OpKind::{Preadv, Pwritev, Readv, Writev};
    let good = |len| Piece { access: Memory::Good, len };
    match kind {
        Readv | Writev | Preadv | Pwritev => {
            let count = *choices.pick(&[2, 1, 3, 0, 5]);
            (0..count).map(|_| piece(choices)).collect()
        }
        OpKind::Fstat if choices.chance(8) => Vec::new(),
        OpKind::Fstat => vec![good(size_of::<io_core::Stat>())],
        OpKind::Accept if choices.chance(2) => vec![good(128), good(4)],
        OpKind::Read | OpKind::Write | OpKind::Pread | OpKind::Pwrite => vec![piece(choices)],
        OpKind::Recv | OpKind::Send => vec![piece(choices)],
        _ => Vec::new(),
    }
}

/// Whether positional operations are promised to work: only where they do.
fn proven(choices: &Choices, table: &Table<'_>, at: Target) -> bool {
    table.kind(at) == Some(Kind::File) && choices.chance(2)
}

fn word(choices: &Choices, kind: OpKind) -> u32 {
    match kind {
        OpKind::Accept => *choices.pick(&[0, 0o4000, 0o2_000_000, 1, u32::MAX]),
        OpKind::Listen => *choices.pick(&[64, 100, u32::MAX, 0x7fff_ffff]),
        OpKind::Lseek => *choices.pick(&[0, 1, 2, 3, 4, 5, 99, u32::MAX]),
        OpKind::Open => *choices.pick(&OPENS),
        OpKind::Poll => *choices.pick(&EVENTS),
        OpKind::Recv | OpKind::Send => *choices.pick(&MESSAGES),
        OpKind::Shutdown => *choices.pick(&[1, 0, 2, 3, 99, u32::MAX]),
        OpKind::Socket => *choices.pick(&[1, 2, 5, 0, 9, 0o4001, u32::MAX]),
        _ => 0,
    }
}

fn half(choices: &Choices, kind: OpKind) -> u32 {
    match kind {
        OpKind::Accept => *choices.pick(&[128, 0, 1, 2, 16, u32::MAX]),
        OpKind::Bind | OpKind::Connect => {
            *choices.pick(&[0, 0, 0, 0, 1, 2, 17, 16, 111, 128, 129, 0x8000_0000, u32::MAX])
        }
        OpKind::Open => *choices.pick(&[0o644, 0, 0o777, 0o7777, u32::MAX]),
        OpKind::Socket => *choices.pick(&[1, 2, 0, 0xffff]),
        _ => 0,
    }
}

fn name(choices: &Choices, kind: OpKind) -> Name {
    match kind {
        OpKind::Open => match choices.below(12) {
            0..=9 => Name::Known(NAMES[choices.index(NAMES.len())]),
            10 => Name::Long(*choices.pick(&[255, 256, 4095, 4096])),
            _ => Name::Null,
        },
        OpKind::Connect => *choices.pick(&[
            Name::Known("listener"),
            Name::Known("listener"),
            Name::Known("new"),
            Name::Known("unspecified"),
            Name::Null,
            Name::Known("family"),
        ]),
        OpKind::Bind => *choices.pick(&[Name::Known("new"), Name::Known("family"), Name::Null]),
        _ => Name::Null,
    }
}

/// An operation.
pub(super) fn act(choices: &Choices, table: &Table<'_>) -> Act {
    let at = target(choices, table);
    let fits = !choices.chance(8);
    let kinds = suitable(table.kind(at).filter(|_| fits));
    let kind = *choices.pick(kinds);
    let from = match kind {
        OpKind::Sendfile => of_kind(choices, table, Kind::File),
        OpKind::Connect => of_kind(choices, table, Kind::Listener),
        _ => Target::Number(-1),
    };
    let pieces = pieces(choices, kind);
    let vectors = matches!(kind, OpKind::Readv | OpKind::Writev | OpKind::Preadv | OpKind::Pwritev);
    let claim = match kind {
        OpKind::Sendfile => {
            Some(if choices.chance(6) { *choices.pick(&CLAIMS) } else { *choices.pick(&LENGTHS) })
        }
        _ if vectors => choices.chance(12).then(|| *choices.pick(&[1025, 0, 1 << 32, usize::MAX])),
        _ => choices.chance(10).then(|| *choices.pick(&CLAIMS)),
    };
    let offset = match kind {
        OpKind::Sendfile => choices.chance(2).then(|| *choices.pick(&OFFSETS)),
        OpKind::Pread | OpKind::Preadv | OpKind::Pwrite | OpKind::Pwritev => {
            Some(*choices.pick(&OFFSETS))
        }
        OpKind::Lseek | OpKind::Ftruncate => Some(*choices.pick(&OFFSETS)),
        _ => None,
    };
    Act {
        kind,
        at,
        from,
        pieces,
        claim,
        no_table: vectors && choices.chance(16),
        offset,
        word: word(choices, kind),
        half: half(choices, kind),
        name: name(choices, kind),
        proven: proven(choices, table, at),
        seed: (choices.below(256) & 0xff) as u8,
    }
}
