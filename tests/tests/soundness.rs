//! What safe code may do that a careless library would not survive. What it may *not* do is in
//! `io_conformance::soundness`, as programs that must not compile.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use io_conformance::Desc;
use io_core::ops::Ops;
use io_core::{Deadline, Errno, IoBackend, Phase};
use io_pool_backend::{LocalPool, PoolBackend};
use io_uring_backend::{Config, Local, UringBackend};
use leaked::leaked;

#[path = "../src/leaked.rs"]
mod leaked;

fn drive<F: Future>(backend: &dyn IoBackend, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        backend.poll(Some(core::time::Duration::from_millis(1))).expect("poll");
    }
}

/// Runs `test` with each single-threaded backend, type-erased.
fn erased(test: impl Fn(Pin<&dyn IoBackend>)) {
    let pool = pin!(LocalPool::new().expect("a pool"));
    test(pool.as_ref());
    let pool = pin!(<PoolBackend>::new().expect("a pool"));
    test(pool.as_ref());
    match UringBackend::<Local>::new(&Config::new()) {
        Ok(ring) => test(pin!(ring).as_ref()),
        Err(why) => eprintln!("skipped the ring: {why}"),
    }
}

#[test]
fn a_type_erased_backend_works() {
    erased(|backend| {
        let (reader, writer) = Desc::pipe();
        assert_eq!(drive(&*backend, backend.write(writer, *b"erased")).0, Ok(6));
        assert_eq!(drive(&*backend, backend.read(reader, [0; 6])), (Ok(6), *b"erased"));
    });
}

#[test]
fn a_forgotten_future_keeps_its_buffer_and_its_descriptor() {
    erased(|backend| {
        let (reader, writer) = Desc::pipe();
        let number = reader.raw().raw();
        let mut read = Box::pin(backend.read(reader, vec![0_u8; 64]));
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        leaked(Box::new(read));
        // The reading end is open for ever, so this is no EPIPE.
        writer.put(b"to nobody");
        for _ in 0..10 {
            backend.poll(Some(core::time::Duration::ZERO)).expect("poll");
        }
        assert!(std::path::Path::new(&format!("/proc/self/fd/{number}")).exists());
    });
}

#[test]
fn a_future_may_outlive_a_stop() {
    erased(|backend| {
        let (reader, _writer) = Desc::pipe();
        let mut read = pin!(backend.read(reader, [0_u8; 64]));
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(backend.stop(Deadline::NEVER), Ok(()));
        assert_eq!(drive(&*backend, read.as_mut()).0, Err(Errno::CANCELED));
        assert_eq!(read.phase(), Phase::Done);
    });
}

#[test]
fn a_future_is_dropped_inside_another_futures_poll() {
    erased(|backend| {
        let (reader, _writer) = Desc::pipe();
        let mut read = Box::pin(backend.read(reader, [0_u8; 64]));
        assert!(read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut victim = Some(read);
        let result = drive(&*backend, async {
            backend.nop().await?;
            drop(victim.take());
            backend.nop().await
        });
        assert_eq!(result, Ok(()));
        assert_eq!(backend.in_flight(), 0);
    });
}

#[test]
fn a_future_swapped_before_its_first_poll_is_fine() {
    erased(|backend| {
        let file = Desc::file(b"ab");
        let mut one = backend.pread(file.clone(), [0_u8; 1], 0);
        let mut two = backend.pread(file, [0_u8; 1], 1);
        core::mem::swap(&mut one, &mut two);
        assert_eq!(drive(&*backend, one), (Ok(1), *b"b"));
        assert_eq!(drive(&*backend, two), (Ok(1), *b"a"));
    });
}
