//! [`Address`]: a socket address in the kernel's own layout, whatever its family.

use crate::errno::Errno;
use crate::op::Family;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The size of the kernel's `struct sockaddr_storage` in bytes.
const STORAGE: usize = 128;
/// Where the name starts in a `struct sockaddr_un`.
const UNIX_NAME: usize = 2;
/// The size of a `struct sockaddr_un` in bytes.
const UNIX_SIZE: usize = 110;

/// A socket address: the bytes of the kernel's `struct sockaddr` of some family, and how many they are.
///
/// It owns no memory besides, so a typed operation keeps it inside itself.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Address {
    // Zero behind `len`.
    bytes: [u8; STORAGE],
    len: u32,
}

static_assertions::const_assert_eq!(size_of::<Address>(), 136);

impl Address {
    /// Room for any address, and none in it. As an address it is the unnamed one, of length 0.
    pub const EMPTY: Address = Address { bytes: [0; STORAGE], len: 0 };

    /// An IPv4 address and port.
    #[must_use]
    pub fn v4(address: Ipv4Addr, port: u16) -> Address {
        Address::from(SocketAddr::V4(SocketAddrV4::new(address, port)))
    }

    /// An IPv6 address and port, with no scope.
    #[must_use]
    pub fn v6(address: Ipv6Addr, port: u16) -> Address {
        Address::from(SocketAddr::V6(SocketAddrV6::new(address, port, 0, 0)))
    }

    /// A Unix socket's path in the file system, of 1 to 107 bytes (`unix(7)`).
    ///
    /// # Errors
    /// `EINVAL` for an empty path or one with a NUL in it, `ENAMETOOLONG`.
    pub fn unix(path: &[u8]) -> Result<Address, Errno> {
        if path.is_empty() || path.contains(&0) {
            return Err(Errno::INVAL);
        }
        // The NUL behind it counts; the bytes there are zero.
        Address::unix_name(path, 0, 1)
    }

    /// A Unix socket's name outside of any file system, of 0 to 107 bytes, NULs among them (`unix(7)`).
    ///
    /// # Errors
    /// `ENAMETOOLONG`.
    pub fn unix_abstract(name: &[u8]) -> Result<Address, Errno> {
        // The NUL before it says so.
        Address::unix_name(name, 1, 0)
    }

    fn unix_name(name: &[u8], before: usize, behind: usize) -> Result<Address, Errno> {
        let (start, end) = (UNIX_NAME + before, UNIX_NAME + before + name.len());
        if end + behind > UNIX_SIZE {
            return Err(Errno::NAMETOOLONG);
        }
        let mut address = Address::of(Family::UNIX, end + behind);
        address.put(start, name);
        Ok(address)
    }

    /// The address that these bytes are, the family's number first, as the kernel lays them out.
    ///
    /// # Errors
    /// `EINVAL` for more than 128 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Address, Errno> {
        if bytes.len() > STORAGE {
            return Err(Errno::INVAL);
        }
        let mut address = Address::EMPTY;
        address.put(0, bytes);
        address.set_len(bytes.len());
        Ok(address)
    }

    /// An address of `len` bytes, zero but for the family.
    fn of(family: Family, len: usize) -> Address {
        let mut address = Address::EMPTY;
        address.put(0, &family.0.to_ne_bytes());
        address.set_len(len);
        address
    }

    /// Only for what fits.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    fn set_len(&mut self, len: usize) {
        // At most 128.
        self.len = u32::try_from(len).unwrap_or(0);
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        core::array::from_fn(|i| self.bytes.get(at + i).copied().unwrap_or(0))
    }

    /// The bytes, as the kernel lays them out.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(STORAGE);
        &self.bytes[..len.min(STORAGE)]
    }

    /// Which family it is of; [`Family::UNSPEC`] if it is too short to say.
    #[must_use]
    pub fn family(&self) -> Family {
        // Zero behind the length, so a short address reads as unspecified.
        Family(u16::from_ne_bytes(self.get(0)))
    }

    /// The IP address and port, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.get(2));
        match self.family() {
            Family::INET if self.len >= 16 => {
                let address = Ipv4Addr::from(self.get::<4>(4));
                Some(SocketAddr::V4(SocketAddrV4::new(address, port)))
            }
            Family::INET6 if self.len >= 28 => {
                let flow = u32::from_be_bytes(self.get(4));
                let address = Ipv6Addr::from(self.get::<16>(8));
                let scope = u32::from_ne_bytes(self.get(24));
                Some(SocketAddr::V6(SocketAddrV6::new(address, port, flow, scope)))
            }
            _ => None,
        }
    }

    /// The path of a Unix socket that has one.
    #[must_use]
    pub fn unix_path(&self) -> Option<&[u8]> {
        let name = self.unix_bytes()?;
        let path = name.split(|&byte| byte == 0).next()?;
        (!path.is_empty()).then_some(path)
    }

    /// The name of a Unix socket outside of any file system, without the NUL before it.
    #[must_use]
    pub fn unix_abstract_name(&self) -> Option<&[u8]> {
        self.unix_bytes()?.strip_prefix(&[0])
    }

    fn unix_bytes(&self) -> Option<&[u8]> {
        if self.family() != Family::UNIX {
            return None;
        }
        self.as_bytes().get(UNIX_NAME..)
    }

    /// Where the kernel finds it, and how long it is: the arguments of `bind(2)` and `connect(2)`.
    #[must_use]
    pub fn parts(&self) -> (*const u8, u32) {
        (self.bytes.as_ptr(), self.len)
    }

    /// Where the kernel stores an address: the room and its length, for `accept(2)`. What was in it is
    /// forgotten.
    #[must_use]
    pub fn room(&mut self) -> (*mut u8, *mut u32) {
        *self = Address::EMPTY;
        self.set_len(STORAGE);
        let Address { bytes, len } = self;
        (bytes.as_mut_ptr(), len)
    }
}

impl Default for Address {
    fn default() -> Address {
        Address::EMPTY
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        match address {
            SocketAddr::V4(v4) => {
                let mut this = Address::of(Family::INET, 16);
                this.put(2, &v4.port().to_be_bytes());
                this.put(4, &v4.ip().octets());
                this
            }
            SocketAddr::V6(v6) => {
                let mut this = Address::of(Family::INET6, 28);
                this.put(2, &v6.port().to_be_bytes());
                this.put(4, &v6.flowinfo().to_be_bytes());
                this.put(8, &v6.ip().octets());
                this.put(24, &v6.scope_id().to_ne_bytes());
                this
            }
        }
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Address {}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = self.ip() {
            return write!(f, "Address({ip})");
        }
        if let Some(path) = self.unix_path() {
            return write!(f, "Address(unix:{})", path.escape_ascii());
        }
        if let Some(name) = self.unix_abstract_name() {
            return write!(f, "Address(unix:@{})", name.escape_ascii());
        }
        write!(f, "Address({:?}, {} bytes)", self.family(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;
    use crate::errno::Errno;
    use crate::op::Family;
    use core::net::SocketAddr;

    #[test]
    fn ip_addresses_come_back() {
        for text in ["1.2.3.4:80", "[::1]:65535", "[fe80::1%7]:1"] {
            let ip: SocketAddr = text.parse().expect(text);
            let address = Address::from(ip);
            assert_eq!(address.ip(), Some(ip));
            assert_eq!(Address::from_bytes(address.as_bytes()), Ok(address));
            assert_eq!((address.unix_path(), address.unix_abstract_name()), (None, None));
        }
    }

    #[test]
    fn unix_names_have_their_bounds() {
        let path = Address::unix(b"/tmp/x").expect("a path");
        assert_eq!(path.as_bytes(), b"\x01\0/tmp/x\0");
        assert_eq!(path.unix_path(), Some(&b"/tmp/x"[..]));
        assert_eq!(path.unix_abstract_name(), None);
        assert_eq!(Address::unix(&[b'x'; 107]).map(|it| it.as_bytes().len()), Ok(110));
        assert_eq!(Address::unix(&[b'x'; 108]), Err(Errno::NAMETOOLONG));
        assert_eq!(Address::unix(b""), Err(Errno::INVAL));
        assert_eq!(Address::unix(b"a\0b"), Err(Errno::INVAL));
        let name = Address::unix_abstract(b"a\0b").expect("a name");
        assert_eq!(name.as_bytes(), b"\x01\0\0a\0b");
        assert_eq!(name.unix_abstract_name(), Some(&b"a\0b"[..]));
        assert_eq!(name.unix_path(), None);
        assert_eq!(Address::unix_abstract(&[0; 107]).map(|it| it.as_bytes().len()), Ok(110));
        assert_eq!(Address::unix_abstract(&[0; 108]), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn what_is_short_is_of_no_family() {
        assert_eq!(Address::EMPTY.family(), Family::UNSPEC);
        assert_eq!((Address::EMPTY.ip(), Address::EMPTY.as_bytes().len()), (None, 0));
        let short = Address::from_bytes(&[2, 0, 0, 80]).expect("4 bytes");
        assert_eq!((short.family(), short.ip()), (Family(u16::from_ne_bytes([2, 0])), None));
        assert_eq!(Address::from_bytes(&[0; 129]), Err(Errno::INVAL));
        assert_eq!(Address::from_bytes(&[0; 128]).map(|it| it.as_bytes().len()), Ok(128));
    }
}
