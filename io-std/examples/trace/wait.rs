//! Waiting for the command, and for the traced processes that it leaves behind.
//!
//! What loses its parent becomes our child, so that we know of all that the command started: without a
//! child left, nothing runs any more. Of what is left, those are waited for that have the object mapped; an
//! untraced daemon is not.

use crate::child;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, set_child_subreaper, wait,
};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
}

/// How long to wait before looking again, in nanoseconds.
const TURN_NS: i64 = 250_000_000;
/// How often to look again at a process that may be just about to load the object.
const PATIENCE: usize = 4;

/// Makes us the parent of what loses its own.
pub(crate) fn adopt() -> io::Result<()> {
    set_child_subreaper(Some(getpid())).map_err(io::Error::from)
}

/// Waits for the command; calls `turn` from time to time.
pub(crate) fn for_command(command: i32, mut turn: impl FnMut()) -> io::Result<Ended> {
    let pid = Pid::from_raw(command).ok_or(Errno::SRCH)?;
    let over = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        if let Some(ended) = reap(Some(pid))? {
            child::is_over();
            return Ok(ended);
        }
        sleep(&[PollFd::new(&over, PollFlags::IN)])?;
        turn();
    }
}

/// Takes all children that have ended; how `command` did, if it is one of them.
fn reap(command: Option<Pid>) -> io::Result<Option<Ended>> {
    let mut ended = None;
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if Some(pid) == command => {
                let code = status.exit_status().map(Ended::Code);
                ended = code.or(status.terminating_signal().map(Ended::Signal));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(ended),
            // Nobody is left; but the command was, if it was not waited for before.
            Err(Errno::CHILD) if ended.is_some() || command.is_none() => return Ok(ended),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn sleep(on: &[PollFd<'_>]) -> io::Result<()> {
    let limit = Timespec { tv_sec: 0, tv_nsec: TURN_NS };
    match poll(&mut on.to_vec(), Some(&limit)) {
        // A signal: look what it was.
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits until no traced process is left, or until we are interrupted. How many are still there then.
pub(crate) fn for_descendants(dir: &Path, mut turn: impl FnMut()) -> io::Result<usize> {
    let (mut patience, mut said) = (PATIENCE, false);
    loop {
        reap(None)?;
        let left = descendants()?;
        let count = |state| left.iter().filter(|pid| state_of(**pid, dir) == state).count();
        let traced = count(State::Traced);
        patience = if traced > 0 { PATIENCE } else { patience };
        if child::interrupted() {
            return Ok(traced);
        }
        if traced == 0 && (patience == 0 || count(State::Perhaps) == 0) {
            return Ok(0);
        }
        if traced > 0 && !said {
            said = true;
            eprintln!("trace: waiting for {traced} processes that it left behind");
        }
        patience = patience.saturating_sub(1);
        wait_for_one(&left, dir)?;
        turn();
    }
}

/// Until one of these is over, or it is time to look again.
fn wait_for_one(left: &[i32], dir: &Path) -> io::Result<()> {
    let waited = left.iter().filter(|pid| state_of(**pid, dir) != State::Other);
    let over: Vec<_> = waited
        .filter_map(|pid| pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok())
        .take(256)
        .collect();
    let on: Vec<_> = over.iter().map(|over| PollFd::new(over, PollFlags::IN)).collect();
    sleep(&on)
}

/// What is to be expected of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It has the object's mapping.
    Traced,
    /// Its environment names our folder: it may be about to load the object, or never do so.
    Perhaps,
    Other,
}

fn state_of(pid: i32, dir: &Path) -> State {
    let names_dir = |file| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let dir = dir.as_os_str().as_bytes();
        text.windows(dir.len()).any(|part| part == dir)
    };
    if names_dir("maps") {
        State::Traced
    } else if names_dir("environ") {
        State::Perhaps
    } else {
        State::Other
    }
}

/// Our children, theirs, and so on.
fn descendants() -> io::Result<Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![std::process::id().cast_signed()];
    while let Some(parent) = next.pop() {
        let more = children.remove(&parent).unwrap_or_default();
        found.extend(&more);
        next.extend(more);
    }
    Ok(found)
}

/// The parent in a line of `/proc/PID/stat`, where the name in parentheses may be anything.
fn parent_in(stat: &str) -> Option<i32> {
    stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{State, descendants, parent_in, state_of};
    use std::path::Path;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_may_be_called_anything() {
        assert_eq!(parent_in("12 (cat) S 7 1 1"), Some(7));
        assert_eq!(parent_in("12 (a) S 9 ) R 8 1"), Some(8));
        assert_eq!(parent_in("12 (cat)"), None);
        assert_eq!(parent_in(""), None);
    }

    #[test]
    fn a_child_is_found_and_known_by_its_environment() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env("IO_TRACE_DIR", "/no/such/folder")
            .stdout(Stdio::null())
            .spawn()
            .expect("runs");
        let pid = child.id().cast_signed();
        // `spawn` returns after the exec, so its environment is the new one.
        let found = descendants().expect("listed").contains(&pid);
        let states = ["/no/such/folder", "/another"].map(|dir| state_of(pid, Path::new(dir)));
        child.kill().expect("killed");
        child.wait().expect("waited");
        assert!(found);
        assert_eq!(states, [State::Perhaps, State::Other]);
    }
}
