//! UDP health checks (`envoy.health_checkers.udp`): a datagram is answered by the expected one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use nuncio_net::Address;
use tokio::net::UdpSocket;

use super::{Failure, Finding};

/// `health_checkers.udp.v3.UdpHealthCheck`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UdpCheck {
    pub(crate) send: Vec<u8>,
    /// The whole answer; other datagrams are passed over, as Envoy does.
    pub(crate) receive: Vec<u8>,
}

/// Bytes of the longest datagram.
const MAX_DATAGRAM: usize = 64 * 1024;

impl UdpCheck {
    /// Sends, and waits for the answer; from a socket of its own each time, so that a late answer is not taken for a new one.
    pub(super) async fn ask(&self, address: &Address, source: Option<&Address>) -> Finding {
        match self.exchange(address, source).await {
            Ok(()) => Finding::Healthy { degraded: false },
            Err(_) => Finding::Unhealthy(Failure::Network),
        }
    }

    async fn exchange(&self, address: &Address, source: Option<&Address>) -> io::Result<()> {
        let Address::Ip(address) = address else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let source: SocketAddr = match (source, address) {
            (Some(Address::Ip(source)), _) => *source,
            (_, SocketAddr::V4(_)) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            (_, SocketAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(source).await?;
        socket.connect(address).await?;
        socket.send(&self.send).await?;
        // One more than expected is enough to see that a datagram is another one.
        let mut answer = vec![0; (self.receive.len() + 1).min(MAX_DATAGRAM)];
        loop {
            let length = socket.recv(&mut answer).await?;
            if !self.receive.is_empty() && answer[..length] == *self.receive {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_expected_datagram_counts() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(server.local_addr().unwrap());
        let check = UdpCheck {
            send: b"PING".to_vec(),
            receive: b"PONG".to_vec(),
        };
        let answers = async {
            let mut ping = [0; 16];
            let (length, from) = server.recv_from(&mut ping).await.unwrap();
            assert_eq!(&ping[..length], b"PING");
            for answer in [b"xPONG".as_slice(), b"PO", b"PONGy", b"PONG"] {
                server.send_to(answer, from).await.unwrap();
            }
        };
        let (finding, ()) = tokio::join!(check.ask(&address, None), answers);
        assert_eq!(finding, Finding::Healthy { degraded: false });
        drop(server);
        let finding = check.ask(&address, None).await;
        assert_eq!(finding, Finding::Unhealthy(Failure::Network));
    }
}
