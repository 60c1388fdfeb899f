//! The addresses of this machine's interfaces.
#![allow(
    unsafe_code,
    reason = "getifaddrs has no safe wrapper among the dependencies"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

/// The addresses of all interfaces that are up, in the system's order; empty when the system does not tell.
pub fn interface_addresses() -> Vec<IpAddr> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer that getifaddrs writes on success.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut addresses = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list that getifaddrs made; it lives until freeifaddrs below.
        let entry = unsafe { &*next };
        if entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0 {
            // SAFETY: `ifa_addr` is null or points to an address of the family that it names, alive as the list.
            addresses.extend(unsafe { address_of(entry.ifa_addr) });
        }
        next = entry.ifa_next;
    }
    // SAFETY: `list` came from getifaddrs and is freed once; no reference into it is left.
    unsafe { libc::freeifaddrs(list) };
    addresses
}

/// The IP address behind a socket address of the system.
///
/// # Safety
/// `address` is null, or valid for the size of the family it names.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: every address begins with its family; the casts below follow it. Unaligned reads, as nothing promises
    // the alignment of the larger types.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let v4 = ptr::read_unaligned(address.cast::<libc::sockaddr_in>());
                Some(IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(
                    v4.sin_addr.s_addr,
                ))))
            }
            libc::AF_INET6 => {
                let v6 = ptr::read_unaligned(address.cast::<libc::sockaddr_in6>());
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_them() {
        assert!(interface_addresses().iter().any(IpAddr::is_loopback));
    }
}
