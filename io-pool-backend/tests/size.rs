//! What the README says of memory.

use io_core::readiness::Source;
use io_pool_backend::{LocalPool, PoolBackend};

#[test]
fn sizes_are_within_what_the_readme_says() {
    let readme = include_str!("../README.md");
    let larger = size_of::<PoolBackend>().max(size_of::<LocalPool>());
    for (size, limit) in [(larger, 4608), (size_of::<Source>(), 128)] {
        assert!(
            readme.contains(&format!("at most {limit} bytes")),
            "the README says another limit"
        );
        assert!(size <= limit, "{size} bytes");
    }
}
