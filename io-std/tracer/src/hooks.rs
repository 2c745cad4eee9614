//! The hooks, by family. Most are a list of declarations; `hook.rs` says how to read them.

mod descriptors;
mod exec;
mod files;
mod limits;
mod net;
mod process;
mod rw;
mod stdio;
pub(crate) mod vfork;

/// Looks up the real functions of all that may be called anywhere.
pub(crate) fn resolve() {
    descriptors::resolve_all();
    exec::resolve();
    files::resolve();
    limits::resolve();
    net::resolve();
    process::resolve();
    rw::resolve();
    vfork::resolve();
}
