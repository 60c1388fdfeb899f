//! Which kind of address is wanted.

use std::net::IpAddr;

/// `dns_lookup_family`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LookupFamily {
    /// IPv6, and IPv4 if there is none.
    #[default]
    Auto,
    /// IPv4 only.
    V4Only,
    /// IPv6 only.
    V6Only,
    /// IPv4, and IPv6 if there is none.
    V4Preferred,
    /// Both.
    All,
}

impl LookupFamily {
    /// Those addresses of an answer about both families that are wanted.
    pub fn choose(self, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(IpAddr::is_ipv4);
        match self {
            Self::V4Only => v4,
            Self::V6Only => v6,
            Self::All => addresses,
            Self::Auto if v6.is_empty() => v4,
            Self::Auto => v6,
            Self::V4Preferred if v4.is_empty() => v6,
            Self::V4Preferred => v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families() {
        let both = ["10.0.0.1", "::1", "10.0.0.2"];
        let v4 = ips(&["10.0.0.1", "10.0.0.2"]);
        let v6 = ips(&["::1"]);
        for (family, wanted) in [
            (LookupFamily::Auto, &v6),
            (LookupFamily::V4Only, &v4),
            (LookupFamily::V6Only, &v6),
            (LookupFamily::V4Preferred, &v4),
            (LookupFamily::All, &ips(&both)),
        ] {
            assert_eq!(&family.choose(ips(&both)), wanted, "{family:?}");
        }
        assert_eq!(LookupFamily::Auto.choose(v4.clone()), v4);
        assert_eq!(LookupFamily::V4Preferred.choose(v6.clone()), v6);
        assert!(LookupFamily::V4Only.choose(v6).is_empty());
    }
}
