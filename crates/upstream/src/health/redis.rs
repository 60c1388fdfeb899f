//! Redis health checks (`envoy.health_checkers.redis`): `PING`, or whether a key is there.

use std::future::poll_fn;

use nuncio_buffer::Buffer;
use nuncio_net::Stream;

use super::probe::After;
use super::{Failure, Finding};

/// `health_checkers.redis.v3.Redis`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RedisCheck {
    /// A host that has this key is not well; empty: hosts are asked for a sign of life.
    pub(crate) key: String,
}

/// Most bytes of an answer's first line.
const MAX_LINE: usize = 64 * 1024;

impl RedisCheck {
    /// Sends the command, and waits for the first line of the answer. What becomes of the connection stands beside the finding.
    pub(super) async fn ask(&self, stream: &mut Stream) -> (Finding, After) {
        let failed = (Finding::Unhealthy(Failure::Network), After::Gone);
        let mut out = Buffer::from(self.command().as_slice());
        while !out.is_empty() {
            if poll_fn(|cx| stream.poll_write(cx, &mut out)).await.is_err() {
                return failed;
            }
        }
        let mut answer = Buffer::new();
        loop {
            let read = poll_fn(|cx| stream.poll_read(cx, &mut answer, 4096)).await;
            if matches!(read, Ok(0) | Err(_)) || answer.len() > MAX_LINE {
                return failed;
            }
            let end = answer.windows(2).position(|window| window == b"\r\n");
            if let Some(end) = end {
                let whole = end + 2 == answer.len();
                let (finding, is_line) = self.judge(&answer[..end]);
                return match whole && is_line {
                    true => (finding, After::Keep),
                    false => (finding, After::Gone),
                };
            }
        }
    }

    fn command(&self) -> Vec<u8> {
        match self.key.is_empty() {
            true => b"*1\r\n$4\r\nPING\r\n".to_vec(),
            false => {
                let Self { key } = self;
                format!("*2\r\n$6\r\nEXISTS\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
            }
        }
    }

    /// What the first line means, and whether it is the whole answer.
    fn judge(&self, line: &[u8]) -> (Finding, bool) {
        let healthy = (Finding::Healthy { degraded: false }, true);
        let unexpected = Finding::Unhealthy(Failure::UNEXPECTED);
        match line {
            b"+PONG" if self.key.is_empty() => healthy,
            b":0" if !self.key.is_empty() => healthy,
            [b'+' | b':', ..] => (unexpected, true),
            // Some other node has the key: this one is alive.
            [b'-', error @ ..] if is_redirection(error) => healthy,
            [b'-', ..] => (unexpected, true),
            [b'$' | b'*', ..] => (unexpected, false),
            _ => (Finding::Unhealthy(Failure::Network), false),
        }
    }
}

/// `MOVED 1234 host:port` or `ASK …`.
fn is_redirection(error: &[u8]) -> bool {
    let mut words = error.split(|byte| *byte == b' ');
    matches!(words.next(), Some(b"MOVED" | b"ASK")) && words.count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_what_was_asked() {
        let well = Finding::Healthy { degraded: false };
        let unexpected = Finding::Unhealthy(Failure::UNEXPECTED);
        let network = Finding::Unhealthy(Failure::Network);
        let ping = RedisCheck::default();
        let exists = RedisCheck { key: "k".into() };
        assert_eq!(ping.command(), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(exists.command(), b"*2\r\n$6\r\nEXISTS\r\n$1\r\nk\r\n");
        for (line, of_ping, of_exists) in [
            ("+PONG", well, unexpected),
            (":0", unexpected, well),
            (":1", unexpected, unexpected),
            ("-ERR no", unexpected, unexpected),
            ("-MOVED 1 a:1", well, well),
            ("$4", unexpected, unexpected),
            ("HTTP/1.1 400", network, network),
        ] {
            assert_eq!(ping.judge(line.as_bytes()).0, of_ping, "{line}");
            assert_eq!(exists.judge(line.as_bytes()).0, of_exists, "{line}");
        }
    }
}
