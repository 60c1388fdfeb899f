//! TCP health checks: a connection, or what the host answers to some bytes.

use std::future::poll_fn;

use nuncio_buffer::Buffer;
use nuncio_net::Stream;

use super::payload::contains;
use super::{Failure, Finding};

/// `TcpHealthCheck`. Without `receive` a connection is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpCheck {
    pub(crate) send: Vec<u8>,
    pub(crate) receive: Vec<Vec<u8>>,
}

/// Most bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 * 1024;

impl TcpCheck {
    /// Sends, and waits for the answer.
    pub(super) async fn ask(&self, stream: &mut Stream) -> Finding {
        let healthy = Finding::Healthy { degraded: false };
        let mut out = Buffer::from(self.send.as_slice());
        while !out.is_empty() {
            if poll_fn(|cx| stream.poll_write(cx, &mut out)).await.is_err() {
                return Finding::Unhealthy(Failure::Network);
            }
        }
        if self.receive.is_empty() {
            return healthy;
        }
        let mut answer = Buffer::new();
        loop {
            let read = poll_fn(|cx| stream.poll_read(cx, &mut answer, 4096)).await;
            if matches!(read, Ok(0) | Err(_)) || answer.len() > MAX_ANSWER {
                return Finding::Unhealthy(Failure::Network);
            }
            if contains(&self.receive, &answer) {
                return healthy;
            }
        }
    }

    /// Whether the connection serves for the next check, too.
    pub(super) fn keeps_connection(&self) -> bool {
        !self.receive.is_empty()
    }
}
