//! Who may move between threads, and who may be shared by them.

use core::pin::Pin;
use io_conformance::{Desc, Seeking};
use io_core::ops::{Accept, Nop, Open, Pread, Preadv, Read, SafeOp, Write};
use io_core::{Errno, IoAwaitable, IoBackend, Node, NodePtr, OpenFd, OwnedFd, WakeHandle};
use io_pool_backend::{LocalPool, PoolBackend};
use io_uring_backend::{Local, Shared, UringBackend};
use static_assertions::{assert_impl_all, assert_not_impl_any};

type Pool = Pin<&'static PoolBackend>;
type Alone = Pin<&'static LocalPool>;
type Ring = Pin<&'static UringBackend<Shared>>;
type OwnRing = Pin<&'static UringBackend<Local>>;
type Erased = Pin<&'static dyn IoBackend>;
type ErasedShared = Pin<&'static (dyn IoBackend + Sync)>;

// Backends.
assert_impl_all!(PoolBackend: Send, Sync);
assert_not_impl_any!(LocalPool: Sync);
assert_impl_all!(UringBackend<Shared>: Send, Sync);
assert_not_impl_any!(UringBackend<Local>: Send, Sync);

// An operation may move if its backend may be shared.
assert_impl_all!(IoAwaitable<Pool>: Send);
assert_impl_all!(IoAwaitable<Ring>: Send);
assert_impl_all!(IoAwaitable<ErasedShared>: Send);
assert_not_impl_any!(IoAwaitable<Alone>: Send, Sync);
assert_not_impl_any!(IoAwaitable<OwnRing>: Send, Sync);
assert_not_impl_any!(IoAwaitable<Erased>: Send, Sync);
assert_not_impl_any!(IoAwaitable: Send, Sync, Unpin);
assert_not_impl_any!(IoAwaitable<Pool>: Unpin, Clone);

// A typed one also needs a buffer and a descriptor that may.
assert_impl_all!(SafeOp<Pool, Nop>: Send);
assert_impl_all!(SafeOp<Pool, Read<Desc, [u8; 64]>>: Send);
assert_impl_all!(SafeOp<Ring, Pread<Desc, Vec<u8>>>: Send);
assert_impl_all!(SafeOp<Ring, Preadv<Desc, Vec<u8>, 4>>: Send);
assert_impl_all!(SafeOp<ErasedShared, Write<OwnedFd, &'static [u8]>>: Send);
assert_impl_all!(SafeOp<Pool, Accept<OpenFd>>: Send);
assert_impl_all!(SafeOp<Pool, Open<std::ffi::CString>>: Send);
assert_not_impl_any!(SafeOp<Alone, Nop>: Send, Sync);
assert_not_impl_any!(SafeOp<OwnRing, Read<Desc, [u8; 64]>>: Send, Sync);
assert_not_impl_any!(SafeOp<Erased, Nop>: Send, Sync);
assert_not_impl_any!(SafeOp<Pool, Read<Desc, [u8; 64]>>: Unpin, Sync);

// The rest.
assert_impl_all!(WakeHandle<'static>: Send, Sync, Copy);
assert_impl_all!(Node: Send);
assert_not_impl_any!(Node: Sync, Clone, Copy);
assert_not_impl_any!(NodePtr: Send, Sync);
assert_impl_all!(OwnedFd: Send, Sync);
assert_impl_all!(Errno: Send, Sync, Copy);
assert_impl_all!(Desc: Send, Sync, Clone);
assert_impl_all!(Seeking: Send, Sync, Clone);

#[test]
fn the_table_above_compiles() {}
