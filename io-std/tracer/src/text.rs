//! Short texts on the stack: paths of our own files, and numbers in them.

use core::ffi::CStr;

/// A text with a NUL behind it. What does not fit is left out, and then it is no text at all.
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    fits: bool,
}

impl<const N: usize> Text<N> {
    pub(crate) const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0, fits: true }
    }

    /// Appends.
    pub(crate) fn push(mut self, more: &[u8]) -> Text<N> {
        for &byte in more {
            // The last one stays 0.
            match self.bytes.get_mut(self.len) {
                Some(place) if self.len + 1 < N => *place = byte,
                _ => {
                    self.fits = false;
                    return self;
                }
            }
            self.len += 1;
        }
        self
    }

    /// Appends a number.
    pub(crate) fn number(self, mut number: u32) -> Text<N> {
        let mut digits = [0; 10];
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            count += 1;
            if number == 0 {
                break;
            }
        }
        let (_, digits) = digits.split_at_checked(10 - count).unwrap_or((&[], &[]));
        self.push(digits)
    }

    /// Without the NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// With the NUL; `None` if it did not fit.
    pub(crate) fn as_c_str(&self) -> Option<&CStr> {
        CStr::from_bytes_until_nul(&self.bytes).ok().filter(|_| self.fits)
    }
}
