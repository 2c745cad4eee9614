//! Programs that must not compile, each beside its twin that does.
//!
//! A buffer that is borrowed from the stack could be gone while the kernel writes to it; one that is
//! owned or `'static` cannot:
//!
//! ```compile_fail
//! # use io_conformance::Desc; use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let mut bytes = [0_u8; 8];
//! let read = pool.as_ref().read(Desc::file(b""), &mut bytes[..]);
//! ```
//! ```
//! # use io_conformance::Desc; use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let mut bytes = [0_u8; 8];
//! let read = pool.as_ref().read(Desc::file(b""), bytes);
//! ```
//!
//! A borrowed descriptor could be closed, and its number reused, under a forgotten future:
//!
//! ```compile_fail
//! # use io_conformance::Desc; use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let file = Desc::file(b"");
//! let read = pool.as_ref().read(&file, [0_u8; 8]);
//! ```
//! ```
//! # use io_conformance::Desc; use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let file = Desc::file(b"");
//! let read = pool.as_ref().read(file.clone(), [0_u8; 8]);
//! ```
//!
//! An operation cannot outlive its backend:
//!
//! ```compile_fail
//! # use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let nop = {
//!     let pool = pin!(LocalPool::new().unwrap());
//!     pool.as_ref().nop()
//! };
//! drop(nop);
//! ```
//! ```
//! # use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let nop = { pool.as_ref().nop() };
//! drop(nop);
//! ```
//!
//! A backend that is not pinned could be moved while contexts hold its address:
//!
//! ```compile_fail
//! # use io_core::ops::Ops; use io_pool_backend::LocalPool;
//! let pool = LocalPool::new().unwrap();
//! let nop = (&pool).nop();
//! ```
//!
//! An operation of a single-threaded backend stays on its thread, also when the backend's type is erased:
//!
//! ```compile_fail
//! # use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let nop = pool.as_ref().nop();
//! std::thread::scope(|scope| { scope.spawn(move || drop(nop)); });
//! ```
//! ```compile_fail
//! # use io_core::{IoBackend, ops::Ops}; use io_pool_backend::PoolBackend; use std::pin::{Pin, pin};
//! let pool = pin!(<PoolBackend>::new().unwrap());
//! let erased: Pin<&dyn IoBackend> = pool.as_ref();
//! let nop = erased.nop();
//! std::thread::scope(|scope| { scope.spawn(move || drop(nop)); });
//! ```
//! ```
//! # use io_core::{IoBackend, ops::Ops}; use io_pool_backend::PoolBackend; use std::pin::{Pin, pin};
//! let pool = pin!(<PoolBackend>::new().unwrap());
//! let erased: Pin<&(dyn IoBackend + Sync)> = pool.as_ref();
//! let nop = erased.nop();
//! std::thread::scope(|scope| { scope.spawn(move || drop(nop)); });
//! ```
//!
//! The buffer of an operation in flight cannot be looked at, and a future cannot be moved once it is
//! pinned:
//!
//! ```compile_fail
//! # use io_conformance::Desc; use io_core::ops::Ops; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let read = pin!(pool.as_ref().read(Desc::file(b""), [0_u8; 8]));
//! let moved = *read;
//! ```
//!
//! A raw operation is `unsafe` to make:
//!
//! ```compile_fail
//! # use io_core::{IoAwaitable, Op, op::Nop}; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! let raw = IoAwaitable::new(pool.as_ref(), Op::Nop(Nop));
//! ```
//! ```
//! # use io_core::{IoAwaitable, Op, op::Nop}; use io_pool_backend::LocalPool; use std::pin::pin;
//! let pool = pin!(LocalPool::new().unwrap());
//! // SAFETY: a nop has no pointers and no descriptor.
//! let raw = unsafe { IoAwaitable::new(pool.as_ref(), Op::Nop(Nop)) };
//! ```
