//! Operations that wait for the clock.

/// Waits for its deadline, and completes with 0 when that has passed. Without one it waits until it is
/// cancelled. The deadline is that of the [`Timed`](crate::Timed) around it.
///
/// No backend gives it to the kernel: the earliest deadline bounds the backend's park.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timeout;
