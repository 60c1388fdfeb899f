//! Where a socket is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

/// The longest path of a unix socket, without the closing NUL (`sockaddr_un`).
const MAX_PIPE_PATH: usize = 107;

/// An address as Envoy's `envoy.config.core.v3.Address` has it. Cheap to clone.
///
/// Written and logged in Envoy's forms: `127.0.0.1:80`, `[::1]:80`, `/path`, `@abstract`,
/// `envoy://name/endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// IPv4 or IPv6 and a port.
    Ip(SocketAddr),
    /// A unix socket.
    Pipe {
        /// The path in the file system, or with a leading `@` a name in the abstract name space.
        /// Empty for a peer that bound no name.
        path: Arc<str>,
        /// Permission bits to be set on the path of a listening socket; 0 leaves them.
        mode: u32,
    },
    /// A listener of this process (`envoy_internal_address`).
    Internal {
        /// `server_listener_name`
        listener: Arc<str>,
        /// `endpoint_id`; empty when there is none.
        endpoint: Arc<str>,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The text is no IPv4 or IPv6 address.
    MalformedIp(String),
    /// A prefix length is missing, malformed or too long for its address.
    MalformedPrefix(String),
    /// A port is missing, or is no number from 0 to 65535.
    MalformedPort(String),
    /// The path of a unix socket is longer than the system allows.
    PipeTooLong(String),
    /// The path of a unix socket is empty or holds a NUL.
    MalformedPipe(String),
    /// An abstract name was given permission bits.
    AbstractMode,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedIp(text) => write!(f, "malformed IP address: {text}"),
            Self::MalformedPrefix(text) => write!(f, "malformed IP range: {text}"),
            Self::MalformedPort(text) => {
                write!(f, "malformed port in {text}: expected 0 to 65535")
            }
            Self::PipeTooLong(path) => write!(
                f,
                "Path \"{path}\" exceeds maximum UNIX domain socket path size of {}.",
                MAX_PIPE_PATH + 1
            ),
            Self::MalformedPipe(path) => write!(f, "malformed UNIX domain socket path: {path:?}"),
            Self::AbstractMode => f.write_str("Cannot set mode for Abstract AF_UNIX sockets"),
        }
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// `SocketAddress{address, port_value}`: a literal address and a port.
    ///
    /// # Errors
    /// [`AddressError::MalformedIp`] when `ip` is not a literal address; names are not resolved.
    pub fn parse_ip(ip: &str, port: u16) -> Result<Self, AddressError> {
        // A link-local address names its interface by number: `fe80::1%2`.
        if let Some((address, scope)) = ip.split_once('%') {
            let malformed = || AddressError::MalformedIp(ip.into());
            let address: Ipv6Addr = address.parse().map_err(|_| malformed())?;
            let scope: u32 = scope.parse().map_err(|_| malformed())?;
            return Ok(Self::Ip(SocketAddrV6::new(address, port, 0, scope).into()));
        }
        match ip.parse::<IpAddr>() {
            Ok(ip) => Ok(Self::Ip(SocketAddr::new(ip, port))),
            Err(_) => Err(AddressError::MalformedIp(ip.into())),
        }
    }

    /// An address with its port as text: `127.0.0.1:80` or `[::1]:80`.
    ///
    /// # Errors
    /// Tells whether the port or the address is wrong.
    pub fn parse_ip_and_port(text: &str) -> Result<Self, AddressError> {
        let (ip, port) = text
            .rsplit_once(':')
            .ok_or_else(|| AddressError::MalformedPort(text.into()))?;
        let port = port
            .parse()
            .map_err(|_| AddressError::MalformedPort(text.into()))?;
        let bare = match ip.strip_prefix('[').map(|ip| ip.strip_suffix(']')) {
            Some(Some(v6)) if v6.contains(':') => v6,
            Some(_) => return Err(AddressError::MalformedIp(text.into())),
            // `::1:80` is not clear about where the port begins.
            None if ip.contains(':') => return Err(AddressError::MalformedIp(text.into())),
            None => ip,
        };
        Self::parse_ip(bare, port)
    }

    /// `Pipe{path, mode}`.
    ///
    /// # Errors
    /// When the path is empty, too long (107 bytes), holds a NUL, or is abstract and has a mode.
    pub fn pipe(path: &str, mode: u32) -> Result<Self, AddressError> {
        if path.is_empty() || path.contains('\0') {
            return Err(AddressError::MalformedPipe(path.into()));
        }
        if path.len() > MAX_PIPE_PATH {
            return Err(AddressError::PipeTooLong(path.into()));
        }
        if mode != 0 && path.starts_with('@') {
            return Err(AddressError::AbstractMode);
        }
        Ok(Self::Pipe {
            path: path.into(),
            mode,
        })
    }

    /// The address of a peer or of an accepted socket: IPv4 behind an IPv4-mapped IPv6 address (a
    /// socket with `ipv4_compat`) is shown as the IPv4 address it is.
    pub fn from_socket(address: SocketAddr) -> Self {
        if let SocketAddr::V6(v6) = &address
            && let Some(v4) = v6.ip().to_ipv4_mapped()
        {
            return Self::Ip(SocketAddr::new(v4.into(), v6.port()));
        }
        Self::Ip(address)
    }

    /// The address of a unix socket by its path or its abstract name; a peer mostly has neither.
    pub(crate) fn from_unix(path: Option<&[u8]>, name: Option<&[u8]>) -> Self {
        let path = match (path, name.filter(|name| !name.is_empty())) {
            (Some(path), _) => String::from_utf8_lossy(path).into(),
            (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)).into(),
            (None, None) => "".into(),
        };
        Self::Pipe { path, mode: 0 }
    }

    /// The IP address and port, if it has one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            _ => None,
        }
    }

    /// The port; `None` for what has none.
    pub fn port(&self) -> Option<u16> {
        self.ip().map(|address| address.port())
    }

    /// The same address with another port; what has no port is returned as it is.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Ip(address) => Self::Ip(SocketAddr::new(address.ip(), port)),
            other => other.clone(),
        }
    }

    /// Whether it stands for every address of the machine: `0.0.0.0` or `::`.
    pub fn is_any(&self) -> bool {
        self.ip()
            .is_some_and(|address| address.ip().is_unspecified())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe { path, .. } => f.write_str(path),
            Self::Internal { listener, endpoint } => write!(f, "envoy://{listener}/{endpoint}"),
        }
    }
}

/// `CidrRange{address_prefix, prefix_len}`: a set of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpRange {
    base: IpAddr,
    length: u8,
}

impl IpRange {
    /// Every IPv4 address.
    pub const ANY_V4: Self = Self {
        base: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        length: 0,
    };

    /// Every IPv6 address.
    pub const ANY_V6: Self = Self {
        base: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        length: 0,
    };

    /// The range of the addresses that share the first `length` bits with `base`. A length beyond
    /// the address's (32 or 128) means all of them, as in Envoy.
    pub fn new(base: IpAddr, length: u32) -> Self {
        match base {
            IpAddr::V4(v4) => {
                let length = length.min(32) as u8;
                Self {
                    base: Ipv4Addr::from_bits(v4.to_bits() & mask_v4(length)).into(),
                    length,
                }
            }
            IpAddr::V6(v6) => {
                let length = length.min(128) as u8;
                Self {
                    base: Ipv6Addr::from_bits(v6.to_bits() & mask_v6(length)).into(),
                    length,
                }
            }
        }
    }

    /// `10.0.0.0/8`
    ///
    /// # Errors
    /// [`AddressError::MalformedPrefix`]
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let malformed = || AddressError::MalformedPrefix(text.into());
        let (base, length) = text.split_once('/').ok_or_else(malformed)?;
        let base: IpAddr = base.parse().map_err(|_| malformed())?;
        let length: u32 = length.parse().map_err(|_| malformed())?;
        if length > if base.is_ipv4() { 32 } else { 128 } {
            return Err(malformed());
        }
        Ok(Self::new(base, length))
    }

    /// The first address of the range.
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// How many bits are fixed.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether `ip` lies in the range. An address of the other family does not.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                ip.to_bits() & mask_v4(self.length) == base.to_bits()
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                ip.to_bits() & mask_v6(self.length) == base.to_bits()
            }
            _ => false,
        }
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.length)
    }
}

fn mask_v4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_envoys() {
        let text = |address: Result<Address, AddressError>| address.unwrap().to_string();
        assert_eq!(text(Address::parse_ip("127.0.0.1", 80)), "127.0.0.1:80");
        assert_eq!(text(Address::parse_ip("::1", 80)), "[::1]:80");
        assert_eq!(text(Address::pipe("/run/x", 0o600)), "/run/x");
        assert_eq!(text(Address::pipe("@abs", 0)), "@abs");
        let internal = Address::Internal {
            listener: "inner".into(),
            endpoint: "e".into(),
        };
        assert_eq!(internal.to_string(), "envoy://inner/e");
    }

    #[test]
    fn text_with_port_is_parsed_and_wrong_text_told() {
        let good = ["10.0.0.1:80", "[::1]:0", "[fe80::1%2]:443", "0.0.0.0:65535"];
        for text in good {
            let address = Address::parse_ip_and_port(text).unwrap();
            assert_eq!(address.to_string(), text);
        }
        let bad = [
            "",
            ":80",
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:65536",
            "10.0.0.1:-1",
            "::1:80",
            "[::1]",
            "[10.0.0.1]:80",
            "[::1:80",
            "host:80",
            "010.0.0.1:80",
            "[fe80::1%]:1",
            "1.2.3:4",
        ];
        for text in bad {
            let error = Address::parse_ip_and_port(text).unwrap_err();
            assert!(
                error.to_string().starts_with("malformed"),
                "{text}: {error}"
            );
        }
        assert_eq!(
            Address::parse_ip("foo", 1).unwrap_err().to_string(),
            "malformed IP address: foo"
        );
    }

    #[test]
    fn pipes_are_checked() {
        assert!(Address::pipe("", 0).is_err());
        assert!(Address::pipe("a\0b", 0).is_err());
        assert!(Address::pipe(&"x".repeat(107), 0).is_ok());
        assert!(matches!(
            Address::pipe(&"x".repeat(108), 0),
            Err(AddressError::PipeTooLong(_))
        ));
        assert!(Address::pipe("@x", 0o700).is_err());
    }

    #[test]
    fn mapped_peers_are_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:9".parse().unwrap();
        assert_eq!(Address::from_socket(mapped).to_string(), "10.1.2.3:9");
    }

    #[test]
    fn ranges_contain_what_they_should() {
        let contains =
            |range: &str, ip: &str| IpRange::parse(range).unwrap().contains(ip.parse().unwrap());
        assert!(contains("10.1.2.3/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "255.1.2.3"));
        assert!(!contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "ff::1"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::"));
        assert!(contains("1.2.3.4/32", "1.2.3.4"));
        assert_eq!(
            IpRange::parse("10.9.9.9/8").unwrap().to_string(),
            "10.0.0.0/8"
        );
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
            "10.0.0.0/",
        ] {
            assert!(IpRange::parse(bad).is_err(), "{bad}");
        }
    }
}
