//! Real programs from Debian, which nobody wrote for this. Shared by the tests and by the example `cost`.

/// A program, by what runs it: a script, in a folder of its own, with `$1` a folder of small files.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Commands and the packages that have them.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    pub(crate) script: &'static str,
}

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
