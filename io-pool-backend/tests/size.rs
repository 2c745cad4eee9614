//! What the README says of memory.

use io_core::readiness::Source;
use io_pool_backend::{LocalPool, PoolBackend};

#[test]
fn the_readme_tells_the_sizes() {
    let readme = include_str!("../README.md");
    for size in [size_of::<PoolBackend>(), size_of::<LocalPool>(), size_of::<Source>()] {
        assert!(readme.contains(&format!("{size} bytes")), "the README does not say {size} bytes");
    }
}
