//! Every system call of a traced run, as `strace -f -k` sees it, against what the tracer told of the same run.
//!
//! The stack says who made a call: one of our functions, or the C library or its loader for itself. What came
//! through ours is counted for each thread and function, and the tracer must have told exactly that. What did
//! not is listed; a call by a program that passed us by is an error.

use crate::list::PROGRAMS;
use crate::programs::{in_folder, ready};
use crate::run::{Run, Traced, at_length, have};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The calls that are looked at, as strace names them.
const FILTER: &str = "trace=open,openat,creat,close,read,write,pread64,pwrite64,readv,writev,preadv,pwritev,\
                      preadv2,pwritev2,lseek,fsync,fdatasync,ftruncate,truncate,stat,fstat,lstat,newfstatat,\
                      statx,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,dup,dup2,dup3,socket,\
                      socketpair,connect,accept,accept4,sendto,sendmsg,sendmmsg,recvfrom,recvmsg,recvmmsg,\
                      sendfile,copy_file_range,execve,rt_sigreturn";

/// Functions that are one system call each.
const FUNCTIONS: &str = "open openat creat close read write pread pwrite readv writev preadv pwritev preadv2 \
                         pwritev2 lseek fsync fdatasync ftruncate truncate fstat stat lstat fstatat statx unlink \
                         unlinkat rename renameat renameat2 mkdir mkdirat dup dup2 dup3 socket socketpair connect \
                         accept accept4 send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg sendfile \
                         copy_file_range";

/// Who made a system call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Who {
    /// The program, through our function of this name.
    Hook(String),
    /// A function of ours that is more than a system call: of `stdio.h`, or one that starts processes.
    Layer(String),
    /// The tracer itself.
    Tracer,
    /// The loader, or anything before the tracer began.
    Before,
    /// The C library, for itself.
    Libc,
    /// `syscall(2)`, called by the program.
    Raw,
    /// The program or a library of its own, past us.
    Missed(String),
}

/// One system call: its name, what it returned, and the stack, innermost first.
struct Call {
    line: String,
    stack: Vec<String>,
}

/// The file and the function of a frame: ` > /lib/libc.so.6(read+0x10) [0x1234]`.
fn frame(line: &str) -> (&str, &str) {
    let line = line.trim_start_matches(" > ");
    let (file, rest) = line.split_once('(').unwrap_or((line, ""));
    (file, rest.split(['+', ')']).next().unwrap_or_default())
}

/// The name that the summary has for a function: `__open64_2` is `open`.
fn plain_name(symbol: &str) -> String {
    let name = symbol.trim_start_matches("__").trim_end_matches("_chk").trim_end_matches("_2");
    let name = match name {
        "preadv64v2" => "preadv2",
        "pwritev64v2" => "pwritev2",
        "xstat" | "xstat64" => "stat",
        "fxstat" | "fxstat64" => "fstat",
        "lxstat" | "lxstat64" => "lstat",
        "fxstatat" | "fxstatat64" => "fstatat",
        other => other.trim_end_matches("64"),
    };
    name.to_owned()
}

fn is_libc(file: &str) -> bool {
    file.contains("/libc.so") || file.contains("/libpthread") || is_loader(file)
}

fn is_loader(file: &str) -> bool {
    file.contains("/ld-linux")
}

fn is_ours(file: &str) -> bool {
    file.contains("libio_tracer")
}

fn who(call: &Call, alive: bool) -> Who {
    let frames: Vec<_> = call.stack.iter().map(|line| frame(line)).collect();
    let Some((first, symbol)) = frames.first().copied() else {
        return Who::Missed("no stack".into());
    };
    if is_ours(first) {
        return Who::Tracer;
    }
    if !alive || is_loader(first) {
        return Who::Before;
    }
    let outer = frames.iter().position(|(file, _)| !is_libc(file)).unwrap_or(frames.len());
    // The innermost of ours with a name of C: what is behind it may be made up, where the linker gave the text
    // another address than its place in the file, which the unwinder of strace takes for the same.
    let ours = frames[outer..].iter().take_while(|(file, _)| is_ours(file));
    let mut names = ours.map(|(_, symbol)| plain_name(symbol)).peekable();
    if let Some(inner) = names.peek().cloned() {
        let name = names.find(|name| !name.contains("::")).unwrap_or(inner);
        let one_call = FUNCTIONS.split_whitespace().any(|function| function == name);
        return if one_call { Who::Hook(name) } else { Who::Layer(name) };
    }
    if symbol == "syscall" {
        return Who::Raw;
    }
    let called = outer.checked_sub(1).map(|at| plain_name(frames[at].1));
    match called {
        // The function that was called has the name of one of ours.
        Some(name) if outer < frames.len() && FUNCTIONS.split_whitespace().any(|f| f == name) => {
            Who::Missed(format!("{name} by {}", frames[outer].0))
        }
        Some(_) => Who::Libc,
        None => Who::Missed(format!("{} in {first}", call.line)),
    }
}

/// The calls of one thread.
fn calls_of(log: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut ignored = false;
    for line in log.lines() {
        if line.starts_with(" > ") {
            if let Some(call) = calls.last_mut().filter(|_| !ignored) {
                call.stack.push(line.to_owned());
            }
            continue;
        }
        // The call was ended by the signal after all: what is there is its only line.
        let ended = line.starts_with("rt_sigreturn") && line.contains("EINTR");
        ignored = line.starts_with(['-', '+']) || line.starts_with("rt_sigreturn");
        if ended {
            if let Some(call) =
                calls.iter_mut().rev().find(|call| call.line.contains("= ? ERESTART"))
            {
                call.line = call.line.replace("= ? ERESTART", "= -1 EINTR of ");
            }
        } else if !ignored {
            calls.push(Call { line: line.to_owned(), stack: Vec::new() });
        }
    }
    // What was restarted is there once more.
    calls.retain(|call| !call.line.contains("= ? ERESTART"));
    calls
}

type Counts = BTreeMap<(u64, String), u64>;

/// What strace saw of each thread, by who made it, and our functions by thread.
fn seen(logs: &Path) -> (BTreeMap<Who, u64>, Counts, BTreeSet<u64>) {
    let (mut all, mut ours, mut tids) = (BTreeMap::new(), Counts::new(), BTreeSet::new());
    for entry in fs::read_dir(logs).expect("listed") {
        let path = entry.expect("an entry").path();
        let tid = path.extension().and_then(|tid| tid.to_str()).expect("log.TID");
        let tid: u64 = tid.parse().expect("a number");
        tids.insert(tid);
        // A thread or a fork's child goes on in a life that has begun; a program begins its own.
        let mut alive = true;
        for call in calls_of(&fs::read_to_string(&path).expect("UTF-8")) {
            if call.line.starts_with("execve(") {
                alive = alive && !call.line.ends_with(" = 0");
                continue;
            }
            let who = who(&call, alive);
            alive |= who == Who::Tracer && call.line.contains(".live\"");
            if let Who::Hook(function) = &who {
                *ours.entry((tid, function.clone())).or_default() += 1;
            }
            *all.entry(who).or_default() += 1;
        }
    }
    (all, ours, tids)
}

/// What the tracer told of these threads, without what strace's child did before it became the program.
fn told(traced: &Traced, tids: &BTreeSet<u64>) -> Counts {
    let events = traced.trace["traceEvents"].as_array().expect("an array");
    let root = events.iter().find(|event| {
        let name = event["args"]["name"].as_str().unwrap_or_default();
        event["name"] == "process_name" && name.starts_with("strace →")
    });
    let root = root.expect("the program that strace ran")["pid"].as_u64().expect("a number");
    let of_root = |event: &&serde_json::Value| event["pid"] == root && event["name"] == "exec";
    let starts = traced.calls().filter(of_root).filter_map(|event| event["ts"].as_f64());
    let start = starts.fold(f64::MAX, f64::min);
    let mut counts = Counts::new();
    for event in traced.calls() {
        let tid = event["tid"].as_u64().expect("a thread");
        let name = event["name"].as_str().expect("a name");
        let before = event["pid"] == root && event["ts"].as_f64() < Some(start);
        if tids.contains(&tid) && !before && FUNCTIONS.split_whitespace().any(|f| f == name) {
            *counts.entry((tid, name.to_owned())).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_call_is_explained() {
    if !have("strace") || !at_length() {
        return;
    }
    for program in PROGRAMS.iter().filter(|program| ready(program)) {
        let logs = tempfile::tempdir().expect("a directory");
        let log = logs.path().join("log");
        let mut command = vec!["strace", "-ff", "-k", "-qq", "-s", "200", "-e", FILTER, "-o"];
        command.push(log.to_str().expect("UTF-8"));
        let mut run = None;
        in_folder(program, |script, dir| {
            command.extend(script);
            let mut under = Run::new(&["--backend", "epoll"], &command);
            under.command.current_dir(dir);
            let traced = under.finish();
            let output = traced.output.clone();
            run = Some(traced);
            output
        });
        let traced = run.expect("it ran");
        assert!(traced.output.status.success(), "{}: {}", program.name, traced.said());
        traced.assert_whole();
        let (all, expected, tids) = seen(logs.path());
        let told = told(&traced, &tids);
        let mut apart: BTreeMap<&str, u64> = BTreeMap::new();
        for (who, count) in &all {
            let kind = match who {
                Who::Hook(_) => "through us",
                Who::Layer(_) => "inside a function of stdio.h or that starts processes",
                Who::Tracer => "the tracer's own",
                Who::Before => "by the loader, or before the tracer began",
                Who::Libc => "by libc for itself",
                Who::Raw => "by syscall(2)",
                Who::Missed(_) => "MISSED",
            };
            *apart.entry(kind).or_default() += count;
        }
        println!("{}: {apart:?}", program.name);
        let missed: Vec<_> = all.iter().filter(|(who, _)| matches!(who, Who::Missed(_))).collect();
        assert!(missed.is_empty(), "{}: {missed:#?}", program.name);
        let keys: BTreeSet<_> = expected.keys().chain(told.keys()).collect();
        let differ = keys.into_iter().filter(|key| expected.get(key) != told.get(key));
        let differ: Vec<_> = differ.map(|key| (key, expected.get(key), told.get(key))).collect();
        assert!(differ.is_empty(), "{}: (thread, call), strace, tracer: {differ:#?}", program.name);
    }
}
