//! Whose request it is: `x-forwarded-for`, trusted hops, internal addresses.

use std::net::IpAddr;

use nuncio_http::{HeaderMap, Known};

/// What `x-forwarded-for` says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForwardedClient {
    /// The client's address.
    pub(crate) address: IpAddr,
    /// The list had just this address, so that it may be judged internal.
    pub(crate) trusted: bool,
}

/// The address in `x-forwarded-for`, `skip` addresses from its end.
pub(crate) fn client_of(headers: &HeaderMap, skip: u32) -> Option<ForwardedClient> {
    let mut list = headers.get(Known::XForwardedFor)?;
    for _ in 0..skip {
        list = &list[..list.iter().rposition(|&b| b == b',')?];
    }
    let comma = list.iter().rposition(|&b| b == b',');
    // A list that ends in a comma has no last address; its text is then no address either.
    let last = match comma {
        Some(comma) if comma + 1 < list.len() => &list[comma + 1..],
        _ => list,
    };
    let address = std::str::from_utf8(last.trim_ascii()).ok()?.parse().ok()?;
    Some(ForwardedClient {
        address,
        trusted: comma.is_none() && skip == 0,
    })
}

/// Appends an address to `x-forwarded-for`.
pub(crate) fn append(headers: &mut HeaderMap, address: IpAddr) {
    headers.append_to_value(Known::XForwardedFor, b",", address.to_string().as_bytes());
}

/// An IPv4 address as `::ffff:a.b.c.d`.
pub(crate) fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        v6 @ IpAddr::V6(_) => v6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xff(list: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(Known::XForwardedFor, list.as_bytes());
        headers
    }

    fn client(list: &str, skip: u32) -> Option<(String, bool)> {
        client_of(&xff(list), skip).map(|c| (c.address.to_string(), c.trusted))
    }

    #[test]
    fn the_client_stands_before_the_trusted_hops() {
        assert_eq!(client("10.0.0.1", 0), Some(("10.0.0.1".into(), true)));
        assert_eq!(
            client("1.2.3.4, 10.0.0.1", 0),
            Some(("10.0.0.1".into(), false))
        );
        assert_eq!(
            client("1.2.3.4, 10.0.0.1", 1),
            Some(("1.2.3.4".into(), false))
        );
        assert_eq!(client("1.2.3.4, 10.0.0.1", 2), None);
        assert_eq!(client("1.2.3.4,", 0), None);
        assert_eq!(client("::1", 0), Some(("::1".into(), true)));
        assert_eq!(client("not an address", 0), None);
        assert_eq!(client_of(&HeaderMap::new(), 0), None);
    }

    #[test]
    fn addresses_are_appended() {
        let mut headers = xff("1.1.1.1");
        append(&mut headers, "2.2.2.2".parse().unwrap());
        assert_eq!(
            headers.get(Known::XForwardedFor),
            Some(&b"1.1.1.1,2.2.2.2"[..])
        );
    }
}
