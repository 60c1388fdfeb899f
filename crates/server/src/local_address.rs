//! This machine's own address, which stands for a loopback client in `x-forwarded-for`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::options::IpVersion;

/// The first address of this machine that is not loopback, of the asked version; loopback when there is none
/// (Envoy's `getLocalAddress`).
pub(crate) fn local_address(version: IpVersion) -> IpAddr {
    let wanted = |address: &IpAddr| match version {
        IpVersion::V4 => address.is_ipv4(),
        IpVersion::V6 => matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local()),
    };
    let loopback = match version {
        IpVersion::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpVersion::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    nuncio_net::interface_addresses()
        .into_iter()
        .find(|address| wanted(address) && !address.is_loopback())
        .unwrap_or(loopback)
}
