//! What the tracer may never do, each on a real program that provokes it: lose or tear an event, hang, allocate, or
//! change what the program sees. The programs are in `tracer/programs`; each says what it has done.

#[allow(dead_code, reason = "the tracer's own file")]
#[path = "../tracer/src/buffer.rs"]
mod buffer;
#[allow(dead_code, missing_docs, unreachable_pub, reason = "the tracer's own file")]
#[path = "../tracer/src/format.rs"]
mod format;
#[path = "tracer/lives.rs"]
mod lives;
#[path = "tracer/programs.rs"]
mod programs;
#[allow(dead_code, reason = "the tracer's own file")]
#[path = "../tracer/src/solo.rs"]
mod solo;

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use programs::{Backend, Run, Tracer, object, program};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

const BACKENDS: [Backend; 3] = [Backend::Pool, Backend::Epoll, Backend::Uring];

/// Runs a C program with each backend.
fn with_each(name: &str, arguments: &[&str], check: impl Fn(Backend, &Run)) {
    for backend in BACKENDS {
        let run =
            program(name, &[]).and_then(|program| Tracer::new(backend).run(&program, arguments));
        match run {
            Ok(run) => {
                println!("{name} {arguments:?} {backend:?}: {:?}", run.output.status);
                check(backend, &run);
            }
            Err(why) => return println!("SKIPPED: {name}: {why}"),
        }
    }
}

fn assert_exit(run: &Run, code: i32) {
    let said = String::from_utf8_lossy(&run.output.stderr);
    assert_eq!(run.output.status.code(), Some(code), "{:?} {said}", run.output.status);
}

#[test]
fn every_end_leaves_every_event() {
    // Fewer than a block, exactly around one, and several.
    for count in ["3", "1010", "5000"] {
        for how in ["return", "exit", "_exit", "_Exit", "quick_exit", "exec"] {
            with_each("ends", &[how, count], |backend, run| {
                assert_exit(run, 7);
                run.assert_whole();
                for life in &run.lives {
                    assert_eq!(life.route, backend as u32 + 1, "{how}");
                    assert_eq!(life.in_file, life.events.len(), "{how}: through the library");
                    assert!(life.writes > 0 && life.bytes > 0);
                }
            });
        }
    }
}

#[test]
fn a_signal_that_ends_the_program_leaves_what_was_not_written() {
    for (how, signal) in [("abort", 6), ("kill", 9), ("segv", 11), ("term", 15)] {
        for count in ["3", "5000"] {
            with_each("ends", &[how, count], |_, run| {
                // As `timeout` passes it on.
                let status = run.output.status;
                let died = status.signal() == Some(signal) || status.code() == Some(128 + signal);
                assert!(died, "{how}: {status:?}");
                run.assert_whole();
                let [life] = &run.lives[..] else { panic!("one life") };
                let rest = life.events.len() - life.in_file;
                assert!(rest <= format::SLOTS, "at most the last block: {rest}");
            });
        }
    }
}

#[test]
fn a_storm_of_signals() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("log");
    let log = log.to_str().expect("a path");
    with_each("storm", &["plain", "300000", log], |_, run| {
        assert_exit(run, 0);
        run.assert_whole();
        let nested = run.lives[0].events.iter().filter(|event| event.flags & format::NESTED != 0);
        println!("{} in a handler inside of a recording", nested.count());
    });
    // One that leaves the middle of a recording for good loses that one event, and no more.
    with_each("storm", &["jump", "300000", log], |_, run| {
        assert_exit(run, 0);
        let [life] = &run.lives[..] else { panic!("one life") };
        println!("{} dropped, {} missing", life.dropped, life.missing());
        let writes = life.count("write");
        assert!(life.dropped < 64 && life.missing() >= 0 && writes >= 200 - 64, "{}", life.name);
    });
}

#[test]
fn before_main_and_after_it() {
    with_each("edges", &[], |_, run| {
        assert_exit(run, 0);
        run.assert_whole();
    });
}

#[test]
fn sixty_four_threads_at_once() {
    with_each("threads", &["64", "2000"], |_, run| {
        assert_exit(run, 0);
        run.assert_whole();
        assert_eq!(run.lives[0].threads, 64 + 1, "those that were cancelled did nothing");
        let torn = |event: &&lives::Event| event.call == "stat" && !event.text.ends_with("/GPL-3");
        assert_eq!(run.lives[0].events.iter().find(torn).map(|event| &event.text), None);
    });
}

#[test]
fn a_daemon_that_closes_everything() {
    for how in ["loop", "range", "from", "over", "raw"] {
        with_each("daemon", &[how], |backend, run| {
            assert_exit(run, 0);
            run.assert_whole();
            let [life] = &run.lives[..] else { panic!("one life") };
            // Behind its back, and then it found its way; and maybe where it gave way.
            let detours = life.detours;
            match how {
                "raw" => assert!(detours > 0, "{how}"),
                "over" => {}
                _ => assert_eq!(detours, 0, "{how}"),
            }
            assert_eq!(life.route, backend as u32 + 1, "{how}");
        });
    }
}

#[test]
fn children_of_every_kind() {
    with_each("children", &[], |_, run| {
        assert_exit(run, 0);
        run.assert_whole();
        // The parent, 24 that forked, 4 that were executed in a child, two of them after a fork.
        let borrowed = |event: &&lives::Event| event.flags & format::BORROWED != 0;
        let of = |life: &&lives::Life| life.events.iter().any(|event| borrowed(&event));
        assert_eq!(run.lives.iter().filter(of).count(), 1, "who called vfork");
        let untraced: u64 = run.lives.iter().map(|life| life.untraced).sum();
        assert_eq!(untraced, 1, "its environment had nothing");
    });
}

#[test]
fn a_filter_in_the_middle_of_the_work() {
    for how in [&["error"][..], &["kill"], &["error", "call"], &["kill", "call"]] {
        with_each("seccomp", how, |_, run| {
            assert_exit(run, 5);
            let [life] = &run.lives[..] else { panic!("one life") };
            assert_eq!((life.missing(), life.failed, life.dropped), (0, 0, 0), "{how:?}");
            run.assert_expected();
            assert_eq!(life.route, 0, "{how:?}");
        });
    }
}

#[test]
fn a_filter_against_the_ring_alone() {
    with_each("seccomp", &["ring"], |backend, run| {
        assert_exit(run, 5);
        run.assert_whole();
        let [life] = &run.lives[..] else { panic!("one life") };
        let (route, detours) =
            if backend == Backend::Uring { (1, 1) } else { (backend as u32 + 1, 0) };
        assert_eq!((life.route, life.detours), (route, detours));
        assert_eq!(life.in_file, life.events.len());
    });
}

#[test]
fn a_filter_that_nobody_saw() {
    // The program goes on, and every event is there, dropped, or known to be missing.
    with_each("seccomp", &["error", "inline"], |_, run| {
        assert_exit(run, 5);
        let [life] = &run.lives[..] else { panic!("one life") };
        println!("{} dropped, {} missing", life.dropped, life.missing());
        let missing = u64::try_from(life.missing()).expect("not too many");
        assert!(life.dropped > 0 && life.count("pread") as u64 + life.dropped + missing >= 30_700);
    });
    // A ring that answers as none does is left for good, and not asked again for each block.
    with_each("seccomp", &["odd", "inline"], |backend, run| {
        assert_exit(run, 5);
        run.assert_whole();
        let [life] = &run.lives[..] else { panic!("one life") };
        let (route, detours) =
            if backend == Backend::Uring { (1, 1) } else { (backend as u32 + 1, 0) };
        assert_eq!((life.route, life.detours), (route, detours));
    });
}

/// Runs a program under a shell's limit on descriptors, with and without each backend; they are to print the same.
fn same_with_limit(limit: &str, how: &str, check: impl Fn(&lives::Life)) {
    let line = match program("numbers", &[]) {
        Ok(program) => format!("ulimit {limit} && exec {} {how}", program.display()),
        Err(why) => return println!("SKIPPED: {why}"),
    };
    let shell = Path::new("/bin/sh");
    let plain = Command::new(shell).args(["-c", &line]).output().expect("runs");
    if plain.status.code() != Some(7) {
        return println!("SKIPPED {limit}: {}", String::from_utf8_lossy(&plain.stderr));
    }
    for backend in BACKENDS {
        let run = match Tracer::new(backend).run(shell, &["-c", &line]) {
            Ok(run) => run,
            Err(why) => return println!("SKIPPED: {why}"),
        };
        assert_exit(&run, 7);
        let [ours, theirs] = [&run.output, &plain].map(|out| String::from_utf8_lossy(&out.stdout));
        assert_eq!(ours, theirs, "{limit} {how} {backend:?}");
        let known = |life: &lives::Life| life.missing() == i64::try_from(life.failed).expect("few");
        assert!(run.lives.iter().all(known), "{limit} {how} {backend:?}: {:?}", run.lives);
        run.lives.iter().filter(|life| life.count("dup2") > 20).for_each(&check);
    }
}

#[test]
fn every_number_is_the_programs() {
    // As many as there are and may be raised, as many as there are, few, and hardly any.
    for limit in ["-S -n 1024", "-n 1024", "-n 64", "-n 16"] {
        // Numbers that it gives back are ours to go to, for a while.
        same_with_limit(limit, "pass", |life| {
            println!("{limit}: route {}, {} detours", life.route, life.detours);
            assert!(life.route != 0 || limit == "-n 16", "{limit}: {}", life.detours);
        });
        same_with_limit(limit, "keep", |_| {});
        same_with_limit(limit, "threads", |_| {});
    }
}

/// A file system with no more room than this; taken away when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Result<Small, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Small(dir)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(format!("no mount: {error}")),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk() {
    for backend in BACKENDS {
        let run = Small::new("200k").and_then(|small| {
            let mut tracer = Tracer::new(backend);
            tracer.spool = Some(small.0.path().to_owned());
            tracer.run(&program("ends", &[])?, &["exit", "40000"])
        });
        let run = match run {
            Ok(run) => run,
            Err(why) => return println!("SKIPPED: {why}"),
        };
        assert_exit(&run, 7);
        let [life] = &run.lives[..] else { panic!("one life") };
        println!("{backend:?}: {} failed, {} missing", life.failed, life.missing());
        let missing = u64::try_from(life.missing()).expect("not too many");
        assert!(life.failed > 0 && missing == life.failed, "{backend:?}");
        // What came last is still in the mapping.
        assert!(life.events.iter().any(|event| event.call == "exit"));
    }
}

#[test]
fn a_program_that_may_not_look_at_the_time() {
    with_each("counter", &[], |_, run| {
        if run.output.status.code() == Some(77) {
            return println!("SKIPPED: the kernel has no PR_SET_TSC");
        }
        assert_exit(run, 7);
        // What comes after it stays in the mapping.
        let [life] = &run.lives[..] else { panic!("one life") };
        assert_eq!((life.count("pread"), life.missing(), life.dropped), (3000, 0, 0));
    });
}

#[test]
fn no_room_for_the_mapping() {
    // The header does not fit: the program runs, and nobody hears of it.
    let run = Small::new("64k").and_then(|small| {
        let mut tracer = Tracer::new(Backend::Pool);
        tracer.dir = Some(small.0.path().to_owned());
        tracer.run(&program("ends", &[])?, &["exit", "20000"])
    });
    match run {
        Ok(run) => {
            assert_exit(&run, 7);
            assert!(run.lives.is_empty());
        }
        Err(why) => return println!("SKIPPED: {why}"),
    }
    // The first blocks fit, no more: it makes do with them.
    let run = Small::new("140k").and_then(|small| {
        let mut tracer = Tracer::new(Backend::Pool);
        tracer.dir = Some(small.0.path().to_owned());
        tracer.run(&program("ends", &[])?, &["exit", "20000"])
    });
    match run {
        Ok(run) => {
            assert_exit(&run, 7);
            run.assert_whole();
        }
        Err(why) => println!("SKIPPED: {why}"),
    }
}

#[test]
fn the_event_buffer_alone() {
    const THREADS: usize = 4;
    let each = programs::rounds(20_000);
    let mut live: Box<[format::Block; format::BLOCKS]> = zeroed();
    let blocks: &[format::Block; format::BLOCKS] = &mut live;
    let buffer = buffer::Buffer::new();
    buffer.renew(blocks, format::BLOCKS);
    let working = AtomicUsize::new(THREADS);
    let seen = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (buffer, working) = (&buffer, &working);
            scope.spawn(move || {
                for at in 0..each {
                    let slots = 1 + (at + thread) % 7;
                    let room = loop {
                        if let Some(room) = buffer.reserve(blocks, slots, 1, false) {
                            break room;
                        }
                        std::thread::yield_now();
                    };
                    let all = &blocks[room.index].slots[room.first..room.first + room.slots];
                    for slot in all {
                        slot.words[0].store((thread << 32 | at) as u64, Ordering::Relaxed);
                        slot.words[3].store(room.mark().into(), Ordering::Release);
                    }
                    buffer.commit(blocks, room, false);
                }
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        // The writer: every slot of a full block is whole, and says who wrote it.
        let mut seen = [const { Vec::new() }; THREADS];
        loop {
            let over = working.load(Ordering::SeqCst) == 0 && buffer.close(blocks);
            while let Some(full) = buffer.take_full(blocks, false) {
                for slot in &blocks[full.index].slots[..full.to / format::SLOT_BYTES] {
                    assert_eq!(slot.words[3].load(Ordering::Acquire), full.number + 1);
                    let word = slot.words[0].load(Ordering::Relaxed);
                    seen[usize::try_from(word >> 32).expect("a thread")].push(word & 0xffff_ffff);
                }
                let bytes = u32::try_from(full.to - full.from).expect("a block");
                assert!(buffer.written(blocks, full.index, bytes));
            }
            if over && buffer.is_busy(blocks) == (false, false) {
                return seen;
            }
            std::thread::yield_now();
        }
    });
    for (thread, seen) in seen.iter().enumerate() {
        let mut counts = vec![0; each];
        for at in seen {
            counts[usize::try_from(*at).expect("a number")] += 1;
        }
        for (at, count) in counts.iter().enumerate() {
            assert_eq!(*count, 1 + (at + thread) % 7, "thread {thread}, event {at}");
        }
    }
}

/// Blocks with nothing in them.
fn zeroed() -> Box<[format::Block; format::BLOCKS]> {
    let block = || format::Block {
        number: 0.into(),
        committed: 0.into(),
        written: 0.into(),
        reserved: [0; 6],
        slots: [const { format::Slot { words: [const { AtomicU64::new(0) }; format::WORDS] } };
            format::SLOTS],
    };
    let blocks: Vec<format::Block> = core::iter::repeat_with(block).take(format::BLOCKS).collect();
    blocks.try_into().unwrap_or_else(|_| unreachable!("as many as were made"))
}

#[test]
fn a_limit_on_files() {
    // As a shell's `ulimit -f`: less than the mapping is, so there is no tracer; it says nothing and does nothing.
    for (blocks, lives) in [("600", 1), ("100", 0)] {
        let run = object(Backend::Pool).and_then(|_| {
            let ends = program("ends", &[])?;
            let line = format!("ulimit -f {blocks}; exec {} exit 40000", ends.display());
            Tracer::new(Backend::Pool).run(Path::new("/bin/bash"), &["-c", &line])
        });
        match run {
            Ok(run) => {
                assert_exit(&run, 7);
                let traced = run.lives.iter().filter(|life| life.count("pread") > 0);
                let traced: Vec<_> = traced.collect();
                assert_eq!(traced.len(), lives);
                for life in traced {
                    println!("{} failed, {} missing", life.failed, life.missing());
                    let missing = u64::try_from(life.missing()).expect("not too many");
                    assert!(life.failed > 0 && missing == life.failed, "{}", life.name);
                }
            }
            Err(why) => return println!("SKIPPED: {why}"),
        }
    }
}

#[test]
fn a_full_buffer_is_counted_where_it_may_not_wait() {
    let mut tracer = Tracer::new(Backend::Pool);
    tracer.drops = true;
    match program("threads", &[]).and_then(|program| tracer.run(&program, &["64", "2000"])) {
        Ok(run) => {
            assert_exit(&run, 0);
            println!("{} dropped", run.lives[0].dropped);
            assert_eq!(run.lives[0].missing(), 0);
        }
        Err(why) => println!("SKIPPED: {why}"),
    }
}

#[test]
fn the_program_sees_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let arguments = [dir.path().to_str().expect("a path")];
    let Ok(same) = program("same", &["-w"]) else {
        return println!("SKIPPED: no gcc");
    };
    let plain = Command::new(&same).args(arguments).output().expect("runs");
    assert_eq!(plain.status.code(), Some(42));
    with_each("same", &arguments, |_, run| {
        assert_exit(run, 42);
        let [ours, theirs] = [&run.output, &plain].map(|out| String::from_utf8_lossy(&out.stdout));
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.len(), theirs.len());
    });
}

#[test]
fn nothing_is_allocated_after_the_constructor() {
    let allocator = program("allocator", &["-shared", "-fPIC"]);
    for backend in [Backend::Pool, Backend::Epoll] {
        let mut tracer = Tracer::new(backend);
        tracer.before = allocator.clone().ok();
        match program("ends", &[]).and_then(|program| tracer.run(&program, &["exit", "20000"])) {
            Ok(run) => {
                assert_exit(&run, 7);
                run.assert_whole();
                let said = String::from_utf8_lossy(&run.output.stdout);
                assert!(said.contains("allocations 0 1\n"), "{said}");
            }
            Err(why) => println!("SKIPPED: {why}"),
        }
    }
}

#[test]
fn the_object_without_std_has_no_allocator_in_it() {
    let Ok(object) = object(Backend::Pool) else { return println!("SKIPPED: no cargo") };
    let nm = |arguments: &[&str]| {
        let output = Command::new("nm").args(arguments).arg(&object).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(undefined) = nm(&["--dynamic", "--undefined-only"]) else {
        return println!("SKIPPED: no nm");
    };
    // All that it asks of the C library; an allocator or a thread is none of it.
    let allowed = [
        "_ITM_deregisterTMCloneTable",
        "_ITM_registerTMCloneTable",
        "__cxa_finalize",
        "__gmon_start__",
        "__errno_location",
        "abort",
        "bcmp",
        "clock_gettime",
        "dlsym",
        "environ",
        "fileno",
        "getenv",
        "memcmp",
        "memcpy",
        "memmove",
        "memset",
        "prctl",
        "pthread_sigmask",
        "sigaltstack",
        "strlen",
        "strnlen",
    ];
    for symbol in undefined.lines().filter_map(|line| line.split_whitespace().last()) {
        let symbol = symbol.split('@').next().unwrap_or(symbol);
        assert!(allowed.contains(&symbol), "it wants {symbol}");
    }
    let all = nm(&["--defined-only"]).expect("as before");
    for forbidden in ["__rust_alloc", "__rg_alloc", "_ZN3std", "_RNvNtCs3std"] {
        assert!(!all.contains(forbidden), "{forbidden} is in it");
    }
}
