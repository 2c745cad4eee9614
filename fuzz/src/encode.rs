//! Any descriptor as a submission entry: its 64 bytes, held against a table of the kernel's interface and
//! against the entries that the `io-uring` crate builds. Nothing may panic, and nothing is cut: lengths
//! end at what one transfer moves, offsets, flags, descriptors and the word arrive whole.

mod builders;
mod expected;
mod operations;

use crate::input::Input;
use io_core::Op;
use io_core::OpKind;
use io_uring_backend::fuzz as door;

/// What an input says.
struct Case {
    op: Op,
    /// The word that comes back with the completion.
    word: u64,
    /// The word of an entry to be cancelled.
    target: u64,
}

/// One case after the other, until the input ends.
fn cases(data: &[u8]) -> impl Iterator<Item = Case> {
    let mut input = Input::new(data);
    core::iter::from_fn(move || {
        (!input.is_empty()).then(|| {
            let op = operations::any(&mut input);
            Case { op, word: input.word(), target: input.word() }
        })
    })
}

/// Encodes operations.
///
/// # Panics
/// If an entry is not what it must be.
pub fn run(data: &[u8]) {
    cases(data).for_each(check);
}

fn check(Case { op, word, target }: Case) {
    assert_eq!(
        door::refused(&op),
        expected::is_refused(&op),
        "whether the ring may see {op:?} by its arguments"
    );
    same("cancel", &op, &door::cancel(target, word), &expected::cancel(target).bytes(word));
    let ready = expected::readiness(&op).map(|entry| entry.bytes(word));
    let got = door::readiness(&op, word);
    assert_eq!(got.is_some(), ready.is_some(), "a wait for readiness of {op:?}");
    if let (Some(got), Some(ready)) = (got, ready) {
        same("readiness", &op, &got, &ready);
    }
    let entry = expected::entry(&op);
    let got = door::entry(&op, word);
    assert_eq!(got.is_some(), entry.is_some(), "an opcode for {op:?}");
    let (Some(got), Some(entry)) = (got, entry) else { return };
    if door::refused(&op) {
        return;
    }
    same("entry", &op, &got, &entry.bytes(word));
    let blocking = door::blocking(&op, word).expect("there is an opcode");
    same("blocking entry", &op, &blocking, &entry.asynchronous().bytes(word));
    if let Some(built) = builders::entry(&op, word) {
        same("entry of the io-uring crate", &op, &got, &built);
    }
    let positional =
        matches!(op.kind(), OpKind::Pread | OpKind::Preadv | OpKind::Pwrite | OpKind::Pwritev);
    assert!(
        !positional || got[8..16] != [0xff; 8],
        "an offset that means the position reaches the ring: {op:?}"
    );
}

/// The operations in words.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let line = |Case { op, word, target }| format!("{op:?}, word {word:#x}; cancel of {target:#x}");
    cases(data).map(line).collect::<Vec<_>>().join("\n")
}

fn same(what: &str, op: &Op, got: &[u8; 64], expected: &[u8; 64]) {
    assert!(
        got == expected,
        "{what} for {op:?}\n     got {}\nexpected {}",
        expected::fields(got),
        expected::fields(expected)
    );
}
