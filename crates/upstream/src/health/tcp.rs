//! TCP health checks: a connection, or what the host answers to some bytes.

use std::future::poll_fn;

use nuncio_buffer::Buffer;
use nuncio_net::Stream;

use super::payload::contains;
use super::probe::After;
use super::{Failure, Finding};

/// `TcpHealthCheck`. Without `receive` a connection is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpCheck {
    pub(crate) send: Vec<u8>,
    pub(crate) receive: Vec<Vec<u8>>,
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
        let mut out = Buffer::from(self.send.as_slice());
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
