//! From [`Errno`] to [`std::io::Error`], and how far a transfer of many steps got ([`Partial`]).

use core::fmt;
use io_core::Errno;
use std::io;

/// The standard library's error for this error number. Allocates nothing.
///
/// An [`io::Error`] has either a number or a text of ours, and the number is worth more: so the text is the C
/// library's. `Operation canceled` (`ECANCELED`, 125) is of an operation that was cancelled or came to a
/// stopped backend; `Owner died` (`EOWNERDEAD`, 130) of one in a forked child, before
/// [`Io::reinit`](crate::Io::reinit).
#[must_use]
pub fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw())
}

/// Results whose error becomes an [`io::Error`].
pub trait IntoIo {
    /// The same with the other error.
    type Output;

    /// Converts the error.
    fn into_io(self) -> Self::Output;
}

impl<T> IntoIo for Result<T, Errno> {
    type Output = io::Result<T>;

    fn into_io(self) -> io::Result<T> {
        self.map_err(io_error)
    }
}

impl<T, B> IntoIo for (Result<T, Errno>, B) {
    type Output = (io::Result<T>, B);

    fn into_io(self) -> (io::Result<T>, B) {
        (self.0.into_io(), self.1)
    }
}

/// A transfer of several steps that did not get to its end.
#[derive(Debug)]
pub struct Partial {
    /// How many bytes were moved before.
    pub done: usize,
    /// What stopped it.
    pub error: io::Error,
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} bytes: {}", self.done, self.error)
    }
}

impl core::error::Error for Partial {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Partial> for io::Error {
    fn from(partial: Partial) -> io::Error {
        partial.error
    }
}

#[cfg(test)]
mod tests {
    use super::{IntoIo, Partial};
    use io_core::Errno;
    use std::io;

    #[test]
    fn errors_keep_their_number() {
        let result: Result<(), Errno> = Err(Errno::NOENT);
        let error = result.into_io().expect_err("ENOENT");
        assert_eq!(error.raw_os_error(), Some(2));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let partial = Partial { done: 7, error };
        assert!(partial.to_string().starts_with("after 7 bytes: "));
    }
}
