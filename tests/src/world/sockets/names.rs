//! Names of sockets, read from and written as the kernel's addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use io_core::op::Family;
use io_core::{Address, Errno};

/// The longest address the kernel takes (`struct sockaddr_storage`).
const MOST: usize = 128;
/// The size of a `struct sockaddr_un`.
const UNIX_MOST: usize = 110;

/// What a socket is bound to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Name {
    /// A local one, in the file system.
    Path(Vec<u8>),
    /// A local one, in none.
    Abstract(Vec<u8>),
    /// An address and a port.
    Ip(SocketAddr),
}

fn unspecified(family: Family) -> IpAddr {
    if family == Family::INET { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

impl Name {
    /// Every address of this machine, and some port.
    pub(super) fn any(family: Family) -> Name {
        Name::Ip(SocketAddr::new(unspecified(family), 0))
    }

    /// The loopback address, and some port.
    pub(super) fn loopback(family: Family) -> Name {
        let v4 = family == Family::INET;
        let ip = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        Name::Ip(SocketAddr::new(ip, 0))
    }

    /// An address to bind to, as the kernel judges it.
    pub(super) fn to_bind(family: Family, address: &[u8]) -> Result<Name, Errno> {
        let name = Name::read(family, address)?;
        match &name {
            Name::Ip(ip) if !is_local(ip.ip()) => Err(Errno::ADDRNOTAVAIL),
            _ => Ok(name),
        }
    }

    /// An address to connect to, as the kernel judges it.
    pub(super) fn to_connect(family: Family, address: &[u8]) -> Result<Name, Errno> {
        match Name::read(family, address)? {
            Name::Ip(ip) if !is_local(ip.ip()) => Err(Errno::NETUNREACH),
            // Nowhere in particular is this machine.
            Name::Ip(ip) if ip.ip().is_unspecified() => {
                Ok(Name::loopback(family).with_port(ip.port()))
            }
            name => Ok(name),
        }
    }

    fn read(family: Family, bytes: &[u8]) -> Result<Name, Errno> {
        let address = Address::from_bytes(bytes)?;
        if family == Family::UNIX {
            return Name::read_unix(&address, bytes.len());
        }
        let least = if family == Family::INET { 16 } else { 24 };
        if bytes.len() < least {
            return Err(Errno::INVAL);
        }
        if address.family() != family {
            return Err(Errno::AFNOSUPPORT);
        }
        // The scope at the end of an IPv6 address may be missing.
        let mut whole = bytes.to_vec();
        whole.resize(MOST, 0);
        Address::from_bytes(&whole)?.ip().map(Name::Ip).ok_or(Errno::INVAL)
    }

    fn read_unix(address: &Address, len: usize) -> Result<Name, Errno> {
        if !(3..=UNIX_MOST).contains(&len) || address.family() != Family::UNIX {
            return Err(Errno::INVAL);
        }
        match (address.unix_abstract_name(), address.unix_path()) {
            (Some(name), _) => Ok(Name::Abstract(name.to_vec())),
            (None, Some(path)) => Ok(Name::Path(path.to_vec())),
            (None, None) => Err(Errno::INVAL),
        }
    }

    /// What two sockets cannot both have.
    pub(super) fn key(&self) -> Name {
        match self {
            Name::Ip(ip) if ip.is_ipv4() => Name::any(Family::INET).with_port(ip.port()),
            Name::Ip(ip) => Name::any(Family::INET6).with_port(ip.port()),
            name => name.clone(),
        }
    }

    /// Whether a socket of this name is meant by that address.
    pub(super) fn is_reached_by(&self, address: &Name) -> bool {
        match (self, address) {
            (Name::Ip(bound), Name::Ip(asked)) => {
                bound.ip().is_unspecified() || bound.ip() == asked.ip()
            }
            _ => self == address,
        }
    }

    pub(super) fn is_path(&self) -> bool {
        matches!(self, Name::Path(_))
    }

    pub(super) fn wants_port(&self) -> bool {
        matches!(self, Name::Ip(ip) if ip.port() == 0)
    }

    pub(super) fn with_port(&self, port: u16) -> Name {
        match self {
            Name::Ip(ip) => Name::Ip(SocketAddr::new(ip.ip(), port)),
            name => name.clone(),
        }
    }

    /// As the kernel writes it.
    pub(super) fn address(&self) -> Address {
        match self {
            Name::Path(path) => Address::unix(path).unwrap_or_default(),
            Name::Abstract(name) => Address::unix_abstract(name).unwrap_or_default(),
            Name::Ip(ip) => Address::from(*ip),
        }
    }

    /// The address of a socket without a name.
    pub(super) fn unnamed(family: Family) -> Address {
        match family {
            Family::UNIX => Address::from_bytes(&Family::UNIX.0.to_ne_bytes()).unwrap_or_default(),
            family => Name::any(family).address(),
        }
    }
}
