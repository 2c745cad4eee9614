//! The hooks, by family. Each file is a list of declarations; `hook.rs` says how to read them.

mod files;
mod net;
mod rw;

/// Looks up the real functions of all of them.
pub(crate) fn resolve() {
    files::resolve();
    net::resolve();
    rw::resolve();
}
