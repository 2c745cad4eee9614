//! How it is linked. Here and not in `.cargo/config.toml`, which is not read when cargo is called from elsewhere.

fn main() {
    // No start-up files and no library; no interpreter; nothing to relocate, since nobody would do it.
    for argument in ["-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
