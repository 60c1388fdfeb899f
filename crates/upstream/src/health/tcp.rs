//! TCP health checks: a connection, or what the host answers to some bytes.

use std::future::poll_fn;

use nuncio_buffer::Buffer;
use nuncio_net::{Address, Stream};

use super::payload::contains;
use super::probe::After;
use super::{Failure, Finding};

/// `TcpHealthCheck`. Without `receive` a connection is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpCheck {
    /// Goes before `send`, with each question.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    pub(crate) send: Vec<u8>,
    pub(crate) receive: Vec<Vec<u8>>,
}

/// The version of the PROXY protocol whose header is sent (`ProxyProtocolConfig.version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    /// Text, with the addresses of this connection.
    V1,
    /// Binary: the connection is this proxy's own (`LOCAL`).
    V2,
}

impl ProxyProtocol {
    /// The header; of version 1 none for what has no IP addresses.
    fn header(self, local: &Address, remote: &Address) -> Vec<u8> {
        match (self, local, remote) {
            (Self::V1, Address::Ip(local), Address::Ip(remote)) => {
                let family = if remote.is_ipv4() { "TCP4" } else { "TCP6" };
                let (source, destination) = (local.ip(), remote.ip());
                let ports = format!("{} {}", local.port(), remote.port());
                format!("PROXY {family} {source} {destination} {ports}\r\n").into_bytes()
            }
            (Self::V1, ..) => Vec::new(),
            (Self::V2, ..) => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
        }
    }
}

/// Most bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 * 1024;

/// A connection, and what was heard on it since the last answer.
pub(super) struct TcpConversation {
    pub(super) stream: Stream,
    heard: Buffer,
}

impl TcpConversation {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            heard: Buffer::new(),
        }
    }
}

impl TcpCheck {
    /// Sends, and waits for the answer; what becomes of the connection stands beside the finding.
    pub(super) async fn ask(&self, conversation: &mut TcpConversation) -> (Finding, After) {
        if self.receive.is_empty() {
            // As in Envoy, the connection is closed at once, and nothing is sent.
            return (Finding::Healthy { degraded: false }, After::Gone);
        }
        let mut out = Buffer::new();
        if let Some(version) = self.proxy_protocol {
            let stream = &conversation.stream;
            let (Ok(local), Ok(remote)) = (stream.local_address(), stream.remote_address()) else {
                return (Finding::Unhealthy(Failure::Network), After::Gone);
            };
            out.append_slice(&version.header(&local, &remote));
        }
        out.append_slice(&self.send);
        while !out.is_empty() {
            let written = poll_fn(|cx| conversation.stream.poll_write(cx, &mut out)).await;
            if written.is_err() {
                return (Finding::Unhealthy(Failure::Network), After::Gone);
            }
        }
        let finding = self.hear(conversation).await;
        let after = match finding {
            Finding::Healthy { .. } => After::Keep,
            Finding::Unhealthy(_) => After::Gone,
        };
        (finding, after)
    }

    /// Waits for the answer, or the end of the connection. Also between questions: as in Envoy, either counts at any time.
    pub(super) async fn hear(&self, conversation: &mut TcpConversation) -> Finding {
        let TcpConversation { stream, heard } = conversation;
        loop {
            let read = poll_fn(|cx| stream.poll_read(cx, heard, 4096)).await;
            if matches!(read, Ok(0) | Err(_)) || heard.len() > MAX_ANSWER {
                return Finding::Unhealthy(Failure::Network);
            }
            if contains(&self.receive, heard) {
                heard.clear();
                heard.release();
                return Finding::Healthy { degraded: false };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_proxy_protocol() {
        let address = |text: &str| Address::Ip(text.parse().unwrap());
        let of = |version: ProxyProtocol, local, remote| {
            version.header(&address(local), &address(remote))
        };
        assert_eq!(
            of(ProxyProtocol::V1, "127.0.0.1:1000", "127.0.0.2:80"),
            b"PROXY TCP4 127.0.0.1 127.0.0.2 1000 80\r\n"
        );
        assert_eq!(
            of(ProxyProtocol::V1, "[::1]:1000", "[::1]:80"),
            b"PROXY TCP6 ::1 ::1 1000 80\r\n"
        );
        let local = of(ProxyProtocol::V2, "127.0.0.1:1000", "127.0.0.2:80");
        assert_eq!(local.len(), 16);
        assert_eq!(&local[12..], b"\x20\0\0\0");
    }
}
