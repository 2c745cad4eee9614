//! The configurations every test of this folder runs on.

use io_std::{Backend, Builder, Io};

/// How to build each, by name.
const CONFIGURATIONS: [(&str, Builder); 8] = [
    ("pool", Io::builder().backend(Backend::Pool)),
    ("pool without workers", Io::builder().backend(Backend::Pool).workers(0)),
    ("uring with a driver", Io::builder().backend(Backend::Uring)),
    ("uring, caller-driven", Io::builder().backend(Backend::Uring).driver(false)),
    ("epoll with a driver", Io::builder().backend(Backend::Epoll)),
    ("epoll, caller-driven", Io::builder().backend(Backend::Epoll).driver(false)),
    ("epoll alone", Io::builder().backend(Backend::Epoll).driver(false).workers(0)),
    ("uring alone", Io::builder().backend(Backend::Uring).driver(false).workers(0)),
];

/// Calls `test` with each backend that works here; says which do not.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn on_each(test: impl Fn(&Io)) {
    run(&CONFIGURATIONS, test);
}

/// As [`on_each`], for those that any thread may wait for.
#[allow(dead_code, reason = "not every test file needs it")]
pub(crate) fn on_each_with_threads(test: impl Fn(&Io)) {
    run(&[0, 2, 4].map(|index: usize| CONFIGURATIONS[index].clone()), test);
}

fn run(configurations: &[(&str, Builder)], test: impl Fn(&Io)) {
    for (name, builder) in configurations {
        match builder.clone().build() {
            Ok(io) => {
                println!("on {name}: {}", io.chosen());
                test(&io);
            }
            Err(error) => {
                assert!(name.starts_with("uring"), "{name}: {error}");
                println!("SKIPPED {name}: {error}");
            }
        }
    }
}
