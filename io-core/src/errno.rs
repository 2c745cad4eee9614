//! The kernel's error numbers as a value: what every failed operation reports.

use core::fmt;

/// A Linux error number, 1 to 4095. See `errno(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

/// Declares the named constants and their lookup tables from one list, so that they cannot drift.
macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($value);)*

            /// The symbolic name, such as `"EBADF"`, without the message; `None` for numbers this
            /// crate has no name for.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(concat!("E", stringify!($name))),)*
                    _ => None,
                }
            }

            const fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errnos! {
    PERM = 1, "operation not permitted";
    NOENT = 2, "no such file or directory";
    INTR = 4, "interrupted system call";
    IO = 5, "input/output error";
    NXIO = 6, "no such device or address";
    BADF = 9, "bad file descriptor";
    CHILD = 10, "no child processes";
    AGAIN = 11, "resource temporarily unavailable";
    NOMEM = 12, "cannot allocate memory";
    ACCES = 13, "permission denied";
    FAULT = 14, "bad address";
    BUSY = 16, "device or resource busy";
    EXIST = 17, "file exists";
    XDEV = 18, "invalid cross-device link";
    NODEV = 19, "no such device";
    NOTDIR = 20, "not a directory";
    ISDIR = 21, "is a directory";
    INVAL = 22, "invalid argument";
    NFILE = 23, "too many open files in system";
    MFILE = 24, "too many open files";
    NOTTY = 25, "inappropriate ioctl for device";
    TXTBSY = 26, "text file busy";
    FBIG = 27, "file too large";
    NOSPC = 28, "no space left on device";
    SPIPE = 29, "illegal seek";
    ROFS = 30, "read-only file system";
    MLINK = 31, "too many links";
    PIPE = 32, "broken pipe";
    DOM = 33, "numerical argument out of domain";
    RANGE = 34, "numerical result out of range";
    DEADLK = 35, "resource deadlock avoided";
    NAMETOOLONG = 36, "file name too long";
    NOSYS = 38, "function not implemented";
    NOTEMPTY = 39, "directory not empty";
    LOOP = 40, "too many levels of symbolic links";
    TIME = 62, "timer expired";
    NONET = 64, "machine is not on the network";
    PROTO = 71, "protocol error";
    OVERFLOW = 75, "value too large for defined data type";
    BADFD = 77, "file descriptor in bad state";
    NOTSOCK = 88, "socket operation on non-socket";
    DESTADDRREQ = 89, "destination address required";
    MSGSIZE = 90, "message too long";
    PROTOTYPE = 91, "protocol wrong type for socket";
    NOPROTOOPT = 92, "protocol not available";
    PROTONOSUPPORT = 93, "protocol not supported";
    SOCKTNOSUPPORT = 94, "socket type not supported";
    OPNOTSUPP = 95, "operation not supported";
    AFNOSUPPORT = 97, "address family not supported by protocol";
    ADDRINUSE = 98, "address already in use";
    ADDRNOTAVAIL = 99, "cannot assign requested address";
    NETDOWN = 100, "network is down";
    NETUNREACH = 101, "network is unreachable";
    CONNABORTED = 103, "software caused connection abort";
    CONNRESET = 104, "connection reset by peer";
    NOBUFS = 105, "no buffer space available";
    ISCONN = 106, "transport endpoint is already connected";
    NOTCONN = 107, "transport endpoint is not connected";
    TIMEDOUT = 110, "connection timed out";
    CONNREFUSED = 111, "connection refused";
    HOSTDOWN = 112, "host is down";
    HOSTUNREACH = 113, "no route to host";
    ALREADY = 114, "operation already in progress";
    INPROGRESS = 115, "operation now in progress";
    DQUOT = 122, "disk quota exceeded";
    CANCELED = 125, "operation canceled";
    OWNERDEAD = 130, "owner died";
}

impl Errno {
    /// An error number as the kernel counts them. Numbers outside 1 to 4095 become [`Errno::INVAL`],
    /// because the kernel never returns them.
    #[must_use]
    pub const fn from_raw(number: i32) -> Errno {
        match number {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1..=4095")]
            1..=4095 => Errno(number as u16),
            _ => Errno::INVAL,
        }
    }

    /// The positive error number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// The result word of an operation that failed with this error: `-errno`.
    #[must_use]
    pub const fn to_result(self) -> i64 {
        -(self.0 as i64)
    }
}

/// Reads a result word: `>= 0` is the count, descriptor or offset; `< 0` is `-errno`.
///
/// # Errors
/// The [`Errno`] a negative word stands for.
pub const fn decode(result: i64) -> Result<u64, Errno> {
    if result >= 0 {
        Ok(result.unsigned_abs())
    } else if result >= -4095 {
        #[expect(clippy::cast_possible_truncation, reason = "-4095..=-1 fits")]
        Err(Errno::from_raw(-(result as i32)))
    } else {
        Err(Errno::INVAL)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (os error {})", self.text(), self.0)
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::{Errno, decode};

    #[test]
    fn result_words_decode_to_counts_and_errors() {
        assert_eq!(decode(0), Ok(0));
        assert_eq!(decode(0x7fff_f000), Ok(0x7fff_f000));
        assert_eq!(decode(-9), Err(Errno::BADF));
        assert_eq!(decode(Errno::CANCELED.to_result()), Err(Errno::CANCELED));
        assert_eq!(decode(i64::MIN), Err(Errno::INVAL));
        assert_eq!(Errno::from_raw(-3), Errno::INVAL);
        assert_eq!(Errno::from_raw(70_000), Errno::INVAL);
    }
}
