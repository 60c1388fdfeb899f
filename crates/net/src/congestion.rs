//! Connections that stay on this machine are not paced.
//!
//! BBR spreads what is sent over time, by a timer of the kernel that is set for almost every packet. On a network that keeps
//! queues short; on loopback there is no queue, and a large body costs half as much CPU again (more in virtual machines, where
//! setting a timer leaves the guest). So where BBR is the system's default, sockets of loopback addresses use Reno, which
//! every Linux has and everybody may choose. A `socket_options` entry for `TCP_CONGESTION` is set later and wins.

use std::net::SocketAddr;
use std::sync::OnceLock;

use socket2::{Domain, Protocol, Socket, Type};

/// Before the socket listens or connects: afterwards its connections are paced already.
pub(crate) fn leave_unpaced(socket: &Socket, address: &SocketAddr) {
    if !address.ip().is_loopback() || !system_paces() {
        return;
    }
    if let Err(error) = socket.set_tcp_congestion(b"reno") {
        log::debug!("a loopback socket stays paced: {error}");
    }
}

/// Whether new sockets of this machine are paced.
fn system_paces() -> bool {
    static PACES: OnceLock<bool> = OnceLock::new();
    *PACES.get_or_init(|| {
        Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
            .and_then(|socket| socket.tcp_congestion())
            .is_ok_and(|name| name.starts_with(b"bbr"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn congestion(address: &str) -> Vec<u8> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        leave_unpaced(&socket, &address.parse().unwrap());
        let mut name = socket.tcp_congestion().unwrap();
        name.retain(|byte| *byte != 0);
        name
    }

    #[test]
    fn only_loopback_sockets_leave_the_systems_default() {
        let other = congestion("192.0.2.1:80");
        assert_eq!(other.starts_with(b"bbr"), system_paces());
        let loopback = congestion("127.0.0.1:80");
        match system_paces() {
            true => assert_eq!(loopback, b"reno"),
            false => assert_eq!(loopback, other),
        }
    }
}
