//! Files on every backend: what they move, how far they get, and what they say when they cannot.

#[path = "common/each.rs"]
mod common;

use io_core::Errno;
use io_core::ops::Ops;
use io_std::{File, Io};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    (dir, path)
}

async fn whole_life(io: &Io, path: &PathBuf) {
    let file = File::options().read(true).write(true).create(true).open(io, path).await;
    let file = file.expect("opens");
    file.write_all("hello, ").await.0.expect("writes");
    file.write_all(b"world".to_vec()).await.0.expect("writes");
    file.write_all_at([b'!'; 3], 12).await.0.expect("writes");
    let (read, all) = file.read_to_end_at(Vec::new(), 0).await;
    assert_eq!(read.expect("reads"), 15);
    assert_eq!(all, b"hello, world!!!");
    let (read, tail) = file.read_to_end(b">".to_vec()).await;
    assert_eq!((read.expect("reads"), &tail[..]), (3, &b">!!!"[..]));
    let (count, start) = file.read_at([0; 5], 0).await;
    assert_eq!((count.expect("reads"), &start), (5, b"hello"));
    file.set_len(5).await.expect("cuts");
    file.fsync().await.expect("syncs");
    assert_eq!(file.metadata().await.expect("stat").size, 5);
    let (result, buf) = file.read_exact_at(vec![0; 8], 2).await;
    let partial = result.expect_err("the file is shorter");
    assert_eq!((partial.done, partial.error.kind()), (3, ErrorKind::UnexpectedEof));
    assert_eq!(&buf[..3], b"llo");
    let other = file.clone();
    file.close().await.expect("closes");
    assert_eq!(other.read_at([0; 1], 0).await.0.expect("still open"), 1);
    other.close().await.expect("closes");
    assert_eq!(fs::read(path).expect("reads"), b"hello");
}

#[test]
fn a_whole_life() {
    common::on_each(|io| {
        let (_dir, path) = scratch();
        io.block_on(whole_life(io, &path));
    });
}

#[test]
fn errors_are_the_kernels() {
    common::on_each(|io| {
        let (dir, path) = scratch();
        let kind = |result: std::io::Result<File>| result.expect_err("an error").kind();
        assert_eq!(kind(io.block_on(File::open(io, &path))), ErrorKind::NotFound);
        assert_eq!(kind(io.block_on(File::open(io, "a\0b"))), ErrorKind::InvalidInput);
        assert_eq!(kind(io.block_on(File::create(io, dir.path()))), ErrorKind::IsADirectory);
        let nothing = async { File::options().open(io, &path).await };
        assert_eq!(kind(io.block_on(nothing)), ErrorKind::InvalidInput);
        fs::write(&path, b"x").expect("writes");
        let file = io.block_on(File::open(io, &path)).expect("opens");
        let error = io.block_on(file.read_at([0; 4], u64::MAX)).0.expect_err("no such offset");
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw()));
        let partial = io.block_on(file.write_all([1; 4])).0.expect_err("read only");
        assert_eq!(partial.done, 0);
        assert_eq!(partial.error.raw_os_error(), Some(Errno::BADF.raw()));
        let full = async { File::options().write(true).open(io, "/dev/full").await };
        let full = io.block_on(full).expect("opens");
        let partial = io.block_on(full.write_all([1; 4])).0.expect_err("full");
        assert_eq!(partial.error.kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn a_file_larger_than_any_pipe_goes_through_one() {
    common::on_each(|io| {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let std = |fd: std::os::fd::OwnedFd| File::from_std(io, fs::File::from(fd));
        let (reader, writer) = (std(reader.into()), std(writer.into()));
        let data: Vec<u8> = (0..1_000_000u32).map(|n| n.to_ne_bytes()[0] ^ 0x5a).collect();
        let copy = data.clone();
        let (written, read) = io.block_on(async {
            let write = async {
                let (result, _) = writer.write_all(copy).await;
                writer.close().await.expect("closes");
                result
            };
            smol::future::zip(write, reader.read_to_end(Vec::new())).await
        });
        written.expect("writes");
        assert_eq!(read.0.expect("reads"), data.len());
        assert!(read.1 == data, "the same bytes in the same order");
    });
}

#[test]
fn free_functions_use_the_current_backend_or_the_system_call() {
    let (_dir, path) = scratch();
    fs::write(&path, b"free").expect("writes");
    let name = || {
        let path = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        io_std::open(path, io_core::OpenFlags::CLOEXEC, 0)
    };
    let work = async || {
        let file = name().await.expect("opens");
        let stat = io_std::fstat(duplicate(&file)).await.expect("stat");
        let (read, buf) = io_std::pread(file, [0; 8], 1).await;
        (stat.size, read, buf)
    };
    // Without a backend each future is done at its first poll.
    assert!(io_std::current().is_none());
    assert_eq!(smol::block_on(work()), (4, Ok(3), *b"ree\0\0\0\0\0"));
    common::on_each(|io| {
        let before = io_core::Handle::backend(io).counters().submitted;
        assert_eq!(io.block_on(work()), (4, Ok(3), *b"ree\0\0\0\0\0"));
        assert!(io_core::Handle::backend(io).counters().submitted >= before + 3);
        assert!(io_std::current().is_none(), "only inside");
        let guard = io.enter();
        assert!(io_std::current().is_some());
        drop(guard);
        assert!(io_std::current().is_none());
    });
}

/// A file over a duplicate of the descriptor.
fn duplicate(file: &io_core::OwnedFd) -> File {
    use io_core::IoFd;
    use std::os::fd::BorrowedFd;
    #[allow(unsafe_code, reason = "borrows for the length of one duplication")]
    // SAFETY: open for as long as `file` is borrowed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(file.fd().raw()) };
    let io = io_std::current().unwrap_or_else(|| {
        Io::builder().backend(io_std::Backend::Pool).workers(0).build().expect("a pool")
    });
    File::from_std(&io, fs::File::from(borrowed.try_clone_to_owned().expect("a duplicate")))
}

#[test]
fn operations_on_a_file_may_be_made_by_hand() {
    common::on_each(|io| {
        let (_dir, path) = scratch();
        let file = io.block_on(File::create(io, &path)).expect("creates");
        let (result, bufs) = io.block_on(io.pwritev(file.clone(), ["ab", "cd"], 0));
        assert_eq!((result, bufs), (Ok(4), ["ab", "cd"]));
        assert_eq!(file.io().chosen(), io.chosen());
        assert_eq!(fs::read(&path).expect("reads"), b"abcd");
    });
}
