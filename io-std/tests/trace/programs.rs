//! Real programs from Debian, which nobody wrote for this: the same output and code as without the tracer, and
//! nothing lost. What is missing is installed, where that can be done.

use crate::run::{BACKENDS, Run, at_length};

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// A program, by what runs it: a script, in a folder of its own, with `$1` a folder of small files.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Commands and the packages that have them.
    needs: &'static [(&'static str, &'static str)],
    script: &'static str,
}

const SMALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

pub(crate) const PROGRAMS: [Program; 11] = [
    Program { name: "ls -lR", needs: &[], script: "ls -lR \"$1\"" },
    Program { name: "cp -r", needs: &[], script: "cp -r \"$1\" copy && diff -r \"$1\" copy && echo same" },
    Program {
        name: "tar",
        needs: &[("tar", "tar")],
        script: "tar cf - -C \"$1\" . | sha256sum; tar cf a.tar -C \"$1\" . && tar tf a.tar | sort | wc -l",
    },
    Program {
        name: "gzip",
        needs: &[("gzip", "gzip")],
        script: "cat \"$1\"/*.rs >all; gzip -nk all; gzip -dc all.gz | cmp - all && sha256sum <all.gz",
    },
    Program {
        name: "git clone",
        needs: &[("git", "git")],
        script: "export GIT_AUTHOR_DATE='@1 +0000' GIT_COMMITTER_DATE='@1 +0000' GIT_CONFIG_GLOBAL=/dev/null
            git init -q from; cp -r \"$1\" from/tree; cd from; git add -A
            git -c user.name=n -c user.email=e commit -q -m m; cd ..
            git clone -q --no-local from to; diff -r from/tree to/tree; git -C to rev-parse HEAD",
    },
    Program {
        name: "python3 -m compileall",
        needs: &[("python3", "python3-minimal")],
        script: "mkdir p; i=0; while [ $i -lt 12 ]; do echo \"x = $i\" >p/m$i.py; i=$((i+1)); done
            python3 -m compileall -q -j2 p; find p -name '*.pyc' | wc -l",
    },
    Program {
        name: "sqlite3 doing 10 000 inserts",
        needs: &[("sqlite3", "sqlite3")],
        script: "{ echo 'create table t(a); begin;'
              i=0; while [ $i -lt 10000 ]; do echo \"insert into t values($i);\"; i=$((i+1)); done
              echo 'commit; insert into t values(1); insert into t values(2); select count(*), sum(a) from t;'
            } | sqlite3 db",
    },
    Program {
        name: "make -j2",
        needs: &[("make", "make"), ("cc", "gcc"), ("nm", "binutils")],
        script: "for i in 1 2 3 4 5 6; do echo \"int f$i(void) { return $i; }\" >f$i.c; done
            printf 'a.a: f1.o f2.o f3.o f4.o f5.o f6.o\\n\\tar rc $@ $^\\n' >Makefile
            make -s -j2 && nm a.a | grep -c ' T '",
    },
    Program {
        name: "find | xargs -P4 sha256sum",
        needs: &[("xargs", "findutils")],
        script: "find \"$1\" -type f | sort | xargs -P4 -n3 sha256sum | sort",
    },
    Program {
        name: "redis-server under redis-benchmark",
        needs: &[("redis-server", "redis-server"), ("redis-benchmark", "redis-tools")],
        script: "redis-server --port 0 --unixsocket \"$PWD/s\" --save '' --io-threads 2 >log & server=$!
            while ! redis-cli -s s ping >/dev/null 2>&1; do kill -0 $server || exit 1; sleep 0.3; done
            redis-benchmark -s s -n 2000 -c 20 -q -t set,get,lpush >/dev/null && redis-cli -s s llen mylist
            redis-cli -s s shutdown nosave; wait $server; echo $?",
    },
    Program {
        name: "curl from a loopback server",
        needs: &[("curl", "curl"), ("python3", "python3-minimal")],
        script: "head -c 300000 /dev/zero >zeros; mkfifo port
            cat >serve.py <<'E'
import http.server as h
server = h.HTTPServer(('127.0.0.1', 0), h.SimpleHTTPRequestHandler)
open('port', 'w').write(f'{server.server_port}\\n')
[server.handle_request() for _ in range(3)]
E
            python3 serve.py 2>/dev/null & read port <port
            for n in 1 2 3; do curl -s \"http://127.0.0.1:$port/zeros\" | sha256sum; done; wait",
    },
];

/// Runs a script in a new folder, under what `run` makes of it.
pub(crate) fn in_folder(
    program: &Program,
    run: impl FnOnce(&[&'static str], &Path) -> Output,
) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    run(&["sh", "-c", program.script, "sh", SMALL], dir.path())
}

/// Whether all commands are there, or could be installed; says so if not.
pub(crate) fn ready(program: &Program) -> bool {
    // Two at once would wait for each other's lock, and fail.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().expect("nobody panicked");
    let there = |command: &str| {
        let mut look = Command::new("sh");
        look.args(["-c", "command -v -- \"$0\" >/dev/null", command]).stdin(Stdio::null());
        look.status().is_ok_and(|status| status.success())
    };
    program.needs.iter().all(|(command, package)| {
        if there(command) {
            return true;
        }
        // Without a network it is to give up soon.
        let patience = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20"];
        let install = ["install", "-y", "-qq", "--no-install-recommends", package];
        let apt = Command::new("apt-get")
            .args(patience)
            .args(install)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // No daemon is to be started by its installation.
            .env("RUNLEVEL", "1")
            .stdin(Stdio::null())
            .output();
        let why = match apt {
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let installed = there(command);
        if !installed {
            println!("SKIPPED {}: {package} cannot be installed: {why}", program.name);
        }
        installed
    })
}

#[test]
fn real_programs_do_what_they_do_without_it() {
    if !at_length() {
        return;
    }
    for program in PROGRAMS.iter().filter(|program| ready(program)) {
        let without = in_folder(program, |command, dir| {
            let mut plain = Command::new(command[0]);
            plain.args(&command[1..]).current_dir(dir).stdin(Stdio::null());
            plain.output().expect("runs")
        });
        assert!(without.status.success(), "{}: {without:?}", program.name);
        for backend in BACKENDS {
            let mut told = None;
            let with = in_folder(program, |command, dir| {
                let mut run = Run::new(&["--backend", backend], command);
                run.command.current_dir(dir);
                let traced = run.finish();
                let output = traced.output.clone();
                told = Some(traced);
                output
            });
            let traced = told.expect("it ran");
            if backend == "uring" && traced.said().contains("does not work here") {
                println!("SKIPPED uring: {}", traced.said().trim());
                continue;
            }
            let (name, summary) = (program.name, &traced.summary);
            assert_eq!(with.status, without.status, "{name} on {backend}: {}", traced.said());
            let text = String::from_utf8_lossy;
            assert_eq!(text(&with.stdout), text(&without.stdout), "{name} on {backend}");
            traced.assert_whole();
            assert_eq!(summary["untraced"], 0, "{name} on {backend}");
            println!(
                "{name} on {backend}: {} events in {} processes and {} threads, {} writes",
                summary["events"], summary["processes"], summary["threads"], summary["writes"]
            );
        }
    }
}
