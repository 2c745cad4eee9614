//! The example `trace` as its user sees it: real programs do under it what they do without it, and what they
//! did is told.

#[path = "common/example.rs"]
mod example;
#[path = "trace/list.rs"]
mod list;
#[path = "trace/passes.rs"]
mod passes;
#[path = "trace/programs.rs"]
mod programs;
#[path = "trace/refuses.rs"]
mod refuses;
#[path = "trace/run.rs"]
mod run;
#[path = "trace/strace.rs"]
mod strace;
#[path = "trace/tells.rs"]
mod tells;
