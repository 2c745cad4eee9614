//! The program as plain system calls, and at the same time its author: what would wait is kept until
//! something lets it go on, and what is not the same on each run is not written down.
//!
//! Every description is non-blocking here; an operation that gives `EAGAIN` without having asked for it
//! waits, and is made again when `poll(2)` says that it can be. What is left out, because the kernel or two
//! threads may go one way or the other:
//! * two operations of one direction that wait on one description: any of them may be served;
//! * reading where a writer waits for room: how much it then writes depends on when;
//! * more than a page written where a reader waits: it may see the first half alone;
//! * operations on the same data submitted together;
//! * a connect that would wait, which a blocking socket does not let go of: to a full Unix listener, or any over
//!   the network;
//! * a sendfile to a blocking stream that may not have room for all of it, or from something to a pipe that
//!   would wait for its input: it holds a thread;
//! * a write that waits on a blocking eventfd which `poll(2)` offers, because it has room for less: it holds a
//!   thread too;
//! * a sendfile from an eventfd, which is refused before a wait for the output by the system call alone;
//! * an accept from a listener that was shut down, also before it listened, or a read of messages from such a
//!   socket: a blocking one is told so, a non-blocking one is not;
//! * a sendfile to a socket with little room: the call takes what `poll(2)` does not offer yet;
//! * a sendfile of a file into itself, which chases its own end;
//! * a poll that waits for urgent data of a Unix socket, which the ring of Linux 6.18 may not wake;
//! * a read that waits where urgent data comes or is: it throws that away when it looks, and does not end, so
//!   nobody can wait for it to have looked; what comes next (a close, which resets the peer if something was
//!   not read, a poll, a read of the urgent byte, another urgent byte) shows whether it has;
//! * vectors of nothing but empty pieces, of which the ring tells a file that the system call does not tell.

use super::build::{Built, build};
use super::draw;
use super::objects::{Place, Table};
use super::script::{Act, End, Kind, Limit, Script, Step, Target, What};
use crate::choices::Choices;
use crate::oracle::oracle;
use io_core::op::{Poll, PollEvents};
use io_core::{Errno, Fd, Op, OpKind};

/// The most steps of a program.
const STEPS: u32 = 40;
/// The most places in the list.
const PLACES: usize = 24;
/// The most that is written at once where a reader waits.
const PAGE: usize = 4096;

/// An operation that waits.
struct Waiting {
    id: usize,
    act: Act,
    built: Built,
}

/// An operation that is done, and the descriptor that it made, with its group.
struct Done {
    end: End,
    made: Option<(i64, Kind, Option<usize>)>,
}

struct Reference<'p> {
    /// As [`Script::nonblocking`].
    nonblocking: bool,
    table: Table<'p>,
    waiting: Vec<Waiting>,
    /// Done since the subjects were last to look.
    done: Vec<Done>,
    /// Groups of what was started since then.
    busy: Vec<usize>,
    steps: Vec<Step>,
    ids: usize,
}

/// Draws a program, and runs it.
pub(super) fn write(choices: &Choices, place: &Place) -> Script {
    let nonblocking = choices.chance(2);
    let table = Table::new(place, true);
    let (waiting, done, busy, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut reference = Reference { nonblocking, table, waiting, done, busy, steps, ids: 0 };
    for _ in 0..=choices.below(4) {
        reference.make(choices);
    }
    let count = 4 + choices.below(STEPS - 4);
    for _ in 0..count {
        if choices.is_over() {
            break;
        }
        reference.step(choices);
    }
    reference.settle();
    reference.finish(choices);
    Script { nonblocking, steps: reference.steps, left: reference.table.left() }
}

/// What an operation has to do with its description: reads it, writes to it, or both.
fn roles(kind: OpKind) -> u8 {
    use OpKind::{Accept, Connect, Poll, Read, Readv, Recv, Send, Sendfile, Write, Writev};
    match kind {
        Read | Readv | Recv | Accept => READS,
        Write | Writev | Send | Sendfile | Connect => WRITES,
        Poll => READS | WRITES,
        _ => 0,
    }
}

/// Whether it is never submitted together with others: it may concern them.
fn alone(act: &Act) -> bool {
    let empties = act.word & libc::O_TRUNC.cast_unsigned() != 0;
    matches!(act.kind, OpKind::Cancel | OpKind::Timeout) || act.kind == OpKind::Open && empties
}

/// Whether it takes what is there, or waits, and throws away urgent data that it comes by.
fn takes(act: &Act) -> bool {
    let other = libc::MSG_PEEK | libc::MSG_OOB | libc::MSG_DONTWAIT;
    match act.kind {
        OpKind::Read | OpKind::Readv => true,
        OpKind::Recv => act.word & other.cast_unsigned() == 0,
        _ => false,
    }
}

const READS: u8 = 1;
const WRITES: u8 = 2;

fn canceled() -> i64 {
    Errno::CANCELED.to_result()
}

impl Reference<'_> {
    fn make(&mut self, choices: &Choices) {
        let object = draw::object(choices);
        if self.table.len() + object.slots() > PLACES {
            return;
        }
        self.settle();
        self.table.make(object);
        self.record(What::Make(object));
    }

    fn step(&mut self, choices: &Choices) {
        match choices.below(20) {
            16 => self.make(choices),
            17 | 18 if !self.waiting.is_empty() => {
                self.settle();
                let index = choices.index(self.waiting.len());
                self.end_one(index, choices.chance(2));
            }
            _ => {
                let act = draw::act(choices, &self.table);
                let (form, limit) = (draw::form(choices), draw::limit(choices));
                let together = choices.chance(3) && !alone(&act);
                if let Some(limit) = self.permits(&act, limit) {
                    self.start(act, form, limit);
                    if !together || limit == Limit::Soon {
                        self.settle();
                    }
                }
            }
        }
    }

    fn record(&mut self, what: What) {
        self.steps.push(Step { what, ends: Vec::new() });
    }

    /// The subjects are to see what is done by now.
    fn settle(&mut self) {
        self.busy.clear();
        let Some(step) = self.steps.last_mut() else { return };
        for Done { end, made } in self.done.drain(..) {
            if let Some((number, kind, group)) = made {
                self.table.adopt(number, kind, group);
            }
            step.ends.push(end);
        }
    }

    /// Asks a waiting operation to end, or drops it.
    fn end_one(&mut self, index: usize, dropped: bool) {
        let one = self.waiting.remove(index);
        if dropped {
            self.record(What::Drop(one.id));
        } else {
            self.record(What::Cancel(one.id));
            self.finish_one(one, canceled());
        }
        self.settle();
    }

    fn finish(&mut self, choices: &Choices) {
        while !self.waiting.is_empty() {
            self.end_one(0, choices.chance(2));
        }
    }

    fn finish_one(&mut self, one: Waiting, result: i64) {
        let Waiting { id, act, built } = one;
        let made = self.made(&act, result);
        let kind = made.map(|(_, kind, _)| kind);
        let end = End { id, result, memory: built.memory(), made: kind };
        self.done.push(Done { end, made });
    }

    /// What is behind a new descriptor.
    fn made(&self, act: &Act, result: i64) -> Option<(i64, Kind, Option<usize>)> {
        if result < 0 {
            return None;
        }
        match act.kind {
            OpKind::Accept => Some((result, Kind::Socket, Some(self.table.group(act.at)))),
            OpKind::Socket => Some((result, Kind::Socket, None)),
            OpKind::Open => Some((result, Table::behind(result), Some(self.table.group(act.at)))),
            _ => None,
        }
    }

    /// With what deadline an operation can be part of a program, if it can. May let the subjects look
    /// before.
    fn permits(&mut self, act: &Act, limit: Limit) -> Option<Limit> {
        if self.goes_either_way(act) {
            return None;
        }
        let groups = self.groups(act);
        if alone(act)
            || ends_others(act)
            || groups.iter().any(|group| self.busy.contains(group))
            || limit == Limit::Soon
        {
            self.settle();
        }
        let table = &self.table;
        let role = roles(act.kind);
        let mut readers = false;
        let urgent = act.kind == OpKind::Send
            && act.word & libc::MSG_OOB.cast_unsigned() != 0
            && table.is_stream(act.at);
        for one in &self.waiting {
            let same = one.act.at == act.at && matches!(act.at, Target::Slot(_));
            if same && roles(one.act.kind) & role != 0 {
                return None;
            }
            if act.kind == OpKind::Close
                && one.act.kind == OpKind::Sendfile
                && one.act.from == act.at
            {
                return None;
            }
            let near = groups.contains(&table.group(one.act.at));
            let counter = table.kind(act.at) == Some(Kind::Counter);
            let writer = roles(one.act.kind) == WRITES;
            if near && writer && role & READS != 0 && act.kind != OpKind::Poll && !counter {
                return None;
            }
            if near && !same && urgent && takes(&one.act) {
                return None;
            }
            readers |= near && roles(one.act.kind) & READS != 0;
        }
        let most: usize = match act.kind {
            OpKind::Sendfile => act.claim.unwrap_or(0),
            _ => act.pieces.iter().map(|piece| piece.len).sum(),
        };
        if readers && role & WRITES != 0 && most > PAGE {
            return None;
        }
        let huge = act.kind == OpKind::Sendfile && table.size(act.from) > 1 << 20;
        if huge && most > PAGE || table.len() + self.done.len() >= PLACES {
            return None;
        }
        Some(if act.kind == OpKind::Close { Limit::None } else { limit })
    }

    /// See the list above.
    fn goes_either_way(&self, act: &Act) -> bool {
        let nothing = act.pieces.iter().all(|piece| piece.len == 0);
        let kind = self.table.kind(act.at);
        if takes(act) && self.table.has_urgent_alone(act.at) {
            return true;
        }
        match act.kind {
            OpKind::Accept if kind == Some(Kind::Listener) => {
                is_ready(self.table.fd(act.at), PollEvents::RDHUP)
            }
            OpKind::Connect => {
                let table = &self.table;
                let between = table.is_internet(act.at) && table.is_internet(act.from);
                // Of a shorter address it says so at once.
                between && table.is_stream(act.at) && matches!(act.half, 0 | 16..)
            }
            OpKind::Shutdown => !self.table.is_stream(act.at) && kind.is_some(),
            OpKind::Readv | OpKind::Writev | OpKind::Preadv | OpKind::Pwritev => {
                nothing && !act.pieces.is_empty()
            }
            OpKind::Sendfile if kind == Some(Kind::PipeIn) && self.waits(act.from) => true,
            OpKind::Sendfile if self.table.kind(act.from) == Some(Kind::Counter) => true,
            OpKind::Sendfile => {
                let (stream, most) =
                    (matches!(kind, Some(Kind::PipeIn | Kind::Socket)), act.claim.unwrap_or(0));
                let same = self.table.group(act.at) == self.table.group(act.from);
                let out = self.table.fd(act.at);
                stream && !self.nonblocking && (most > 4 * PAGE || !self.table.has_room(act.at))
                    || kind == Some(Kind::Socket) && !is_ready(out, PollEvents::OUT)
                    || same && kind == Some(Kind::File) && most > PAGE
            }
            _ => false,
        }
    }

    /// Whether a wait of it is one inside the system call: there is no try that does not wait, and `poll(2)` sees
    /// no reason to.
    fn holds_a_thread(&self, act: &Act) -> bool {
        let writes = matches!(act.kind, OpKind::Write | OpKind::Writev);
        let counter = self.table.kind(act.at) == Some(Kind::Counter);
        !self.nonblocking && writes && counter && is_ready(self.table.fd(act.at), PollEvents::OUT)
    }

    /// What data an operation touches.
    fn groups(&self, act: &Act) -> Vec<usize> {
        let slots = [act.at, act.from].into_iter();
        slots
            .filter(|slot| matches!(slot, Target::Slot(_)))
            .map(|slot| self.table.group(slot))
            .collect()
    }

    fn start(&mut self, act: Act, form: crate::rig::Form, limit: Limit) {
        let id = self.ids;
        let mut built = build(&act, &self.table);
        let result = match limit {
            Limit::Past if act.kind == OpKind::Timeout => Some(0),
            Limit::Past => Some(Errno::TIMEDOUT.to_result()),
            _ => self.perform(&act, &mut built, limit),
        };
        if result.is_none() && self.holds_a_thread(&act) {
            return;
        }
        let limit = match (limit, result) {
            // Only what waits can be sure to meet it.
            (Limit::Soon, Some(_)) if act.kind != OpKind::Timeout => Limit::Far,
            (limit, _) => limit,
        };
        let result = match (limit, result) {
            (Limit::Soon, None) => Some(Errno::TIMEDOUT.to_result()),
            (_, result) => result,
        };
        if result == Some(Errno::AGAIN.to_result()) && act.kind == OpKind::Connect {
            return;
        }
        let urgent = act.kind == OpKind::Poll && act.word & u32::from(PollEvents::PRI.bits()) != 0;
        if urgent && result.is_none() && self.table.kind(act.at) == Some(Kind::Socket) {
            return;
        }
        self.ids += 1;
        self.busy.extend(self.groups(&act));
        let (closes, ends_others) = (act.kind == OpKind::Close, ends_others(&act));
        self.record(What::Start { act: act.clone(), form, limit });
        if closes {
            self.closed(act.at);
        }
        let one = Waiting { id, act, built };
        match result {
            Some(result) => self.finish_one(one, result),
            None => self.waiting.push(one),
        }
        self.go_on();
        if ends_others {
            self.settle();
        }
    }

    /// The result, or `None` for what waits.
    fn perform(&mut self, act: &Act, built: &mut Built, limit: Limit) -> Option<i64> {
        match built.op {
            Op::Timeout(_) => return (limit == Limit::Soon).then_some(0),
            Op::Cancel(cancel) => return Some(self.cancel(|op| op.is_in(cancel.scope))),
            _ => {}
        }
        let result = oracle(&built.op, &built.keep);
        if act.kind == OpKind::Connect && result == 0 {
            self.table.join(self.table.group(act.at), self.table.group(act.from));
        }
        if act.kind == OpKind::Listen && result == 0 {
            self.listens(act.at);
        }
        let again = result == Errno::AGAIN.to_result();
        if again && act.kind == OpKind::Poll && self.never_waits(act.at) {
            // Asked for nothing that it can ever be.
            return Some(Errno::PERM.to_result());
        }
        (!again || built.op.wants_eagain()).then_some(result)
    }

    fn listens(&mut self, at: Target) {
        if let Target::Slot(slot) = at {
            self.table.set_kind(slot, Kind::Listener);
        }
    }

    fn waits(&self, at: Target) -> bool {
        self.table.kind(at).is_some() && !self.never_waits(at)
    }

    fn never_waits(&self, at: Target) -> bool {
        matches!(self.table.kind(at), Some(Kind::File | Kind::Directory | Kind::Device))
    }

    /// Ends what waits and is meant; returns how many.
    fn cancel(&mut self, meant: impl Fn(&Op) -> bool) -> i64 {
        let (ended, waiting): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|one| meant(&one.built.op));
        self.waiting = waiting;
        let count = i64::try_from(ended.len()).unwrap_or(0);
        ended.into_iter().for_each(|one| self.finish_one(one, canceled()));
        count
    }

    /// A close ends what waits on its descriptor.
    fn closed(&mut self, at: Target) {
        let fd = self.table.fd(at);
        if matches!(at, Target::Slot(_)) && fd.raw() >= 0 {
            self.cancel(|op| op.uses(fd));
        }
        self.table.forget(at);
    }

    /// Makes the calls of what waited and need not any more.
    fn go_on(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() {
            let one = &self.waiting[index];
            let result =
                if ready(&one.built.op) { oracle(&one.built.op, &one.built.keep) } else { AGAIN };
            if result == AGAIN {
                index += 1;
                continue;
            }
            let one = self.waiting.remove(index);
            self.finish_one(one, result);
            // It may have made room, or data, for another.
            index = 0;
        }
    }
}

const AGAIN: i64 = -(libc::EAGAIN as i64);

/// Whether it ends what is under way on its number, also where no file is behind that: what is submitted before it is over
/// as well as what was before it.
fn ends_others(act: &Act) -> bool {
    act.kind == OpKind::Close && matches!(act.at, Target::Number(_))
}

/// Whether `poll(2)` says that it can be done.
fn ready(op: &Op) -> bool {
    let Some((fd, interest)) = op.interest() else { return false };
    is_ready(fd, interest.events())
}

fn is_ready(fd: Fd, events: PollEvents) -> bool {
    oracle(&Op::Poll(Poll { fd, events }), &[]) != AGAIN
}
