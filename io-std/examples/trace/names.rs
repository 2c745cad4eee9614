//! Which file a call was about: the descriptors of each life, played again in the order of time.
//!
//! A name holds from the end of the call that made it to the begin of the one that ends it: another thread
//! cannot have used the number before, and may get it for something else right after.

use crate::calls::{Effect, effect};
use crate::format::{BORROWED, Call, Event};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::HashMap;

/// A name's number.
pub(crate) type NameId = u32;

/// All names, each once.
#[derive(Default)]
pub(crate) struct Names {
    ids: HashMap<Box<str>, NameId>,
    texts: Vec<Box<str>>,
}

impl Names {
    /// The number of this name.
    pub(crate) fn id(&mut self, name: &str) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        // More names than that would not fit into any memory.
        let id = NameId::try_from(self.texts.len()).unwrap_or(NameId::MAX);
        self.ids.insert(name.into(), id);
        self.texts.push(name.into());
        id
    }

    /// The name.
    pub(crate) fn text(&self, id: NameId) -> &str {
        self.texts.get(usize::try_from(id).unwrap_or(usize::MAX)).map_or("", |text| text)
    }
}

/// A time, and what comes first at the same: [`MADE`], [`USED`], [`GONE`].
type Moment = (u64, u8);

/// What happened to a descriptor, and when: at the same time, ends come last.
#[derive(Debug)]
struct Change {
    at: Moment,
    what: What,
}

#[derive(Debug)]
enum What {
    Named(i32, NameId),
    Copied(i32, i32),
    Closed(i32),
    RangeClosed(i32, i32),
}

/// In the flags of `close_range(2)`.
const CLOEXEC: i32 = 4;

/// A use at the very nanosecond finds what was made, and what is about to go.
const MADE: u8 = 0;
const USED: u8 = 1;
const GONE: u8 = 2;

/// The names of one life's descriptors, over time.
#[derive(Default)]
pub(crate) struct Descriptors {
    changes: Vec<Change>,
    held: HashMap<i32, Vec<(Moment, Option<NameId>)>>,
}

impl Descriptors {
    /// Takes in what a call did to descriptors.
    pub(crate) fn note(&mut self, names: &mut Names, call: Call, event: &Event, text: &[u8]) {
        let ended = event.begin.saturating_add(event.took);
        let mut made = |fd: i64, name: &str| {
            if let Ok(fd) = i32::try_from(fd)
                && fd >= 0
            {
                let what = What::Named(fd, names.id(name));
                self.changes.push(Change { at: (ended, MADE), what });
            }
        };
        // A child of vfork has its parent's memory, and a table of descriptors of its own.
        if event.flags & BORROWED != 0 {
            return;
        }
        let (fd, other, result) = (event.fd, event.other, event.result);
        match effect(call) {
            Effect::Open => made(result, &path(text)),
            Effect::OpenStream if !text.is_empty() && result >= 0 => made(fd.into(), &path(text)),
            Effect::Known => made(fd.into(), &path(text)),
            Effect::Socket => made(result, "(socket)"),
            Effect::Accept => made(result, &peer(text, "accepted")),
            Effect::Connect if !text.is_empty() => made(fd.into(), &peer(text, "connected")),
            Effect::Pair if result >= 0 => {
                let kind = if call == Call::Pipe { "(pipe)" } else { "(socketpair)" };
                made(fd.into(), kind);
                made(other.into(), kind);
            }
            Effect::Duplicate => {
                if let Ok(new) = i32::try_from(result)
                    && new >= 0
                    && new != fd
                {
                    let what = What::Copied(fd, new);
                    self.changes.push(Change { at: (ended, MADE), what });
                }
            }
            Effect::Close => {
                self.changes.push(Change { at: (event.begin, GONE), what: What::Closed(fd) });
            }
            // With CLOSE_RANGE_CLOEXEC nothing is closed now.
            Effect::CloseRange if result >= 0 && other & CLOEXEC == 0 => {
                let last = i32::try_from(event.argument).unwrap_or(i32::MAX);
                let what = What::RangeClosed(fd, last);
                self.changes.push(Change { at: (event.begin, GONE), what });
            }
            _ => {}
        }
    }

    /// Plays it all, once everything was taken in.
    pub(crate) fn settle(&mut self) {
        let mut changes = core::mem::take(&mut self.changes);
        changes.sort_by_key(|change| change.at);
        for Change { at, what } in changes {
            match what {
                What::Named(fd, name) => self.set(at, fd, Some(name)),
                What::Copied(from, to) => self.set(at, to, self.now(from)),
                What::Closed(fd) => self.set(at, fd, None),
                What::RangeClosed(first, last) => {
                    let held = self.held.keys().filter(|fd| (first..=last).contains(*fd));
                    for fd in held.copied().collect::<Vec<_>>() {
                        self.set(at, fd, None);
                    }
                }
            }
        }
    }

    fn set(&mut self, at: Moment, fd: i32, name: Option<NameId>) {
        let held = self.held.entry(fd).or_default();
        if held.last().is_none_or(|(_, last)| *last != name) {
            held.push((at, name));
        }
    }

    fn now(&self, fd: i32) -> Option<NameId> {
        self.held.get(&fd)?.last()?.1
    }

    /// The name of a descriptor at a time.
    fn at(&self, fd: i32, time: u64) -> Option<NameId> {
        let held = self.held.get(&fd)?;
        let next = held.partition_point(|(at, _)| *at <= (time, USED));
        held.get(next.checked_sub(1)?)?.1
    }

    /// What the call of an event was about; `None` where it was about no file.
    pub(crate) fn subject(
        &self,
        names: &mut Names,
        call: Call,
        event: &Event,
        text: &[u8],
    ) -> Option<NameId> {
        let dir = self.at(event.fd, event.begin);
        match effect(call) {
            Effect::Open | Effect::OpenStream | Effect::Path if !text.is_empty() => {
                let first = path(text.split(|byte| *byte == 0).next().unwrap_or_default());
                match dir {
                    // The path is relative to a folder that has a name.
                    Some(dir) if takes_dir(call) && !first.starts_with('/') => {
                        let joined = format!("{}/{first}", names.text(dir));
                        Some(names.id(&joined))
                    }
                    _ => Some(names.id(&first)),
                }
            }
            Effect::Connect => Some(names.id(&peer(text, "socket"))),
            _ if event.fd < 0 => None,
            _ => dir.or_else(|| Some(names.id(&format!("(descriptor {})", event.fd)))),
        }
    }
}

/// Whether the descriptor is a folder that the path begins at.
fn takes_dir(call: Call) -> bool {
    matches!(
        call,
        Call::OpenAt
            | Call::Fstatat
            | Call::Statx
            | Call::UnlinkAt
            | Call::RenameAt
            | Call::RenameAt2
            | Call::MkdirAt
    )
}

/// A path as text, whatever its bytes are.
pub(crate) fn path(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The address in a `sockaddr`; in its place, what the socket is, where it cannot be read.
fn peer(text: &[u8], otherwise: &str) -> String {
    address(text).unwrap_or_else(|| format!("({otherwise})"))
}

fn address(text: &[u8]) -> Option<String> {
    let family = u16::from_ne_bytes(text.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(text.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = text.get(4..8)?.try_into().ok()?;
            Some(format!("tcp {}", SocketAddr::from((Ipv4Addr::from(ip), port()?))))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = text.get(8..24)?.try_into().ok()?;
            Some(format!("tcp {}", SocketAddr::from((Ipv6Addr::from(ip), port()?))))
        }
        libc::AF_UNIX => {
            let name = text.get(2..)?;
            // An abstract name begins with a NUL, and is shown with an @ as other tools do.
            let (at, name) = match name.split_first() {
                Some((0, rest)) => ("@", rest),
                _ => ("", name),
            };
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(format!("unix {at}{}", path(name)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptors, Names, address};
    use crate::calls;
    use crate::format::{BORROWED, Call};
    use crate::samples::Sample;

    /// The name of what the last sample was about, after all of them.
    fn subject(samples: &[Sample]) -> Option<String> {
        let (mut names, mut fds) = (Names::default(), Descriptors::default());
        for sample in samples {
            let (event, text) = sample.parts();
            fds.note(&mut names, calls::of(event)?.0, event, text);
        }
        fds.settle();
        let (event, text) = samples.last()?.parts();
        let id = fds.subject(&mut names, calls::of(event)?.0, event, text)?;
        Some(names.text(id).to_owned())
    }

    fn open(at: u64, fd: i64, name: &str) -> Sample {
        Sample::at(at).call(Call::Open).fd(-1).result(fd).text(name)
    }

    #[test]
    fn a_name_holds_from_open_to_close() {
        let read = |at| Sample::at(at).fd(3);
        let close = Sample::at(20).call(Call::Close).fd(3).result(0);
        assert_eq!(subject(&[read(5)]).as_deref(), Some("(descriptor 3)"));
        let (first, second) = (open(10, 3, "/a"), open(30, 3, "/b"));
        // The order in which they are found does not matter.
        let is = |at, name| {
            let all = [close.clone(), second.clone(), first.clone(), read(at)];
            assert_eq!(subject(&all).as_deref(), Some(name), "at {at}");
        };
        is(9, "(descriptor 3)");
        is(11, "/a");
        is(20, "/a");
        is(21, "(descriptor 3)");
        is(31, "/b");
        assert_eq!(subject(&[first.clone(), close.clone()]).as_deref(), Some("/a"));
        assert_eq!(subject(&[first]).as_deref(), Some("/a"));
        assert_eq!(subject(&[open(1, -2, "/missing")]).as_deref(), Some("/missing"));
    }

    #[test]
    fn duplicates_have_the_name_and_keep_it() {
        let dup = Sample::at(20).call(Call::Dup2).fd(3).other(9).result(9);
        let close = Sample::at(30).call(Call::Close).fd(3).result(0);
        let read = |fd| Sample::at(40).fd(fd);
        let all = |fd| subject(&[open(10, 3, "/a"), dup.clone(), close.clone(), read(fd)]);
        assert_eq!(all(9).as_deref(), Some("/a"));
        assert_eq!(all(3).as_deref(), Some("(descriptor 3)"));
        let range = Sample::at(35)
            .call(Call::CloseRange)
            .fd(3)
            .other(0)
            .argument(u32::MAX.into())
            .result(0);
        let after = subject(&[open(10, 3, "/a"), dup.clone(), range, read(9)]);
        assert_eq!(after.as_deref(), Some("(descriptor 9)"));
        let borrowed = dup.flags(BORROWED);
        assert_eq!(
            subject(&[open(10, 3, "/a"), borrowed, read(9)]).as_deref(),
            Some("(descriptor 9)")
        );
    }

    #[test]
    fn relative_paths_begin_at_their_folder() {
        let dir = open(10, 5, "/etc");
        let at = |text: &str| Sample::at(20).call(Call::OpenAt).fd(5).result(6).text(text);
        assert_eq!(subject(&[dir.clone(), at("passwd")]).as_deref(), Some("/etc/passwd"));
        assert_eq!(subject(&[dir.clone(), at("/tmp/x")]).as_deref(), Some("/tmp/x"));
        let rename = Sample::at(20).call(Call::Rename).fd(-1).text("old\0new");
        assert_eq!(subject(&[rename]).as_deref(), Some("old"));
        assert_eq!(subject(&[Sample::at(1).fd(-1)]), None);
    }

    #[test]
    fn sockets_are_their_other_end() {
        let mut inet = u16::try_from(libc::AF_INET).expect("small").to_ne_bytes().to_vec();
        inet.extend([0, 80, 127, 0, 0, 1]);
        let connect = Sample::at(10).call(Call::Connect).fd(3).result(0).text(&inet);
        let send = Sample::at(20).call(Call::Send).fd(3);
        assert_eq!(subject(&[connect, send]).as_deref(), Some("tcp 127.0.0.1:80"));
        let unix = |name: &[u8]| {
            [&u16::try_from(libc::AF_UNIX).expect("small").to_ne_bytes(), name].concat()
        };
        assert_eq!(address(&unix(b"/run/x\0zz")).as_deref(), Some("unix /run/x"));
        assert_eq!(address(&unix(b"\0bus")).as_deref(), Some("unix @bus"));
        for len in 0..inet.len() {
            assert_eq!(address(&inet[..len]), None);
        }
    }
}
