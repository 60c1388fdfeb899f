//! Redis health checks (`envoy.health_checkers.redis`): `PING`, or whether a key is there.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use nuncio_buffer::Buffer;
use nuncio_net::{ConnectError, Stream};
use nuncio_stats::Group;

use super::probe::After;
use super::{Failure, Finding};
use crate::host::Host;
use crate::pool::ClosedBy;
use crate::stats::ClusterStats as S;

/// `health_checkers.redis.v3.Redis`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RedisCheck {
    /// A host that has this key is not well; empty: hosts are asked for a sign of life.
    pub(crate) key: String,
}

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;
/// Most lists within each other.
const MAX_DEPTH: u32 = 8;

/// A connection, which counts among the cluster's and the host's, as that of Envoy's Redis client does.
pub(super) struct RedisConnection {
    stream: Option<Stream>,
    tally: Tally,
}

struct Tally {
    cluster: Arc<Group>,
    host: Arc<Host>,
    /// A question waits for its answer.
    asking: bool,
    by: ClosedBy,
}

impl Tally {
    fn asks(&mut self) {
        self.asking = true;
        self.cluster.inc(S::UPSTREAM_RQ_TOTAL);
        self.cluster.gauge_add(S::UPSTREAM_RQ_ACTIVE, 1);
        self.host.stats().rq_total.fetch_add(1, Relaxed);
        self.host.stats().rq_active.fetch_add(1, Relaxed);
    }

    fn is_answered(&mut self) {
        if std::mem::take(&mut self.asking) {
            self.cluster.gauge_sub(S::UPSTREAM_RQ_ACTIVE, 1);
            self.host.stats().rq_active.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { cluster, by, .. } = self;
        let (closed, with_request) = match by {
            ClosedBy::Local => (
                S::UPSTREAM_CX_DESTROY_LOCAL,
                S::UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ,
            ),
            ClosedBy::Remote => (
                S::UPSTREAM_CX_DESTROY_REMOTE,
                S::UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ,
            ),
        };
        cluster.inc(S::UPSTREAM_CX_DESTROY);
        cluster.inc(closed);
        if self.asking {
            cluster.inc(S::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ);
            cluster.inc(with_request);
            if *by == ClosedBy::Local {
                cluster.inc(S::UPSTREAM_RQ_CANCELLED);
            }
        }
        cluster.gauge_sub(S::UPSTREAM_CX_ACTIVE, 1);
        self.host.stats().cx_active.fetch_sub(1, Relaxed);
        self.is_answered();
    }
}

impl RedisConnection {
    /// It begins to exist before it is connected.
    pub(super) fn new(cluster: Arc<Group>, host: Arc<Host>) -> Self {
        cluster.inc(S::UPSTREAM_CX_TOTAL);
        cluster.gauge_add(S::UPSTREAM_CX_ACTIVE, 1);
        host.stats().cx_total.fetch_add(1, Relaxed);
        host.stats().cx_active.fetch_add(1, Relaxed);
        Self {
            stream: None,
            tally: Tally {
                cluster,
                host,
                asking: false,
                by: ClosedBy::Local,
            },
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        (self.stream.as_ref()).is_some_and(|stream| !stream.is_readable())
    }

    /// Waits until the host says something, or closes.
    pub(super) async fn rest(&mut self) {
        if let Some(stream) = &mut self.stream {
            poll_fn(|cx| stream.poll_read_ready(cx)).await;
            if stream.is_peer_closed() {
                self.tally.by = ClosedBy::Remote;
            }
        }
    }

    /// Sends a command, and waits for its answer; `connect` makes the connection if there is none. `None`: there is no answer.
    async fn exchange(
        &mut self,
        command: &[u8],
        connect: impl Future<Output = Result<Stream, ConnectError>>,
    ) -> Option<Buffer> {
        self.tally.asks();
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => match connect.await {
                Ok(stream) => none.insert(stream),
                Err(_) => {
                    self.tally.cluster.inc(S::UPSTREAM_CX_CONNECT_FAIL);
                    let stats = self.tally.host.stats();
                    stats.cx_connect_fail.fetch_add(1, Relaxed);
                    self.tally.by = ClosedBy::Remote;
                    return None;
                }
            },
        };
        let mut out = Buffer::from(command);
        let mut answer = Buffer::new();
        loop {
            let failed = match out.is_empty() {
                false => poll_fn(|cx| stream.poll_write(cx, &mut out)).await.is_err(),
                true => {
                    let read = poll_fn(|cx| stream.poll_read(cx, &mut answer, 4096)).await;
                    matches!(read, Ok(0) | Err(_))
                }
            };
            if failed {
                self.tally.by = ClosedBy::Remote;
                return None;
            }
            match value_length(&answer, MAX_DEPTH) {
                Ok(Some(_)) => {
                    self.tally.is_answered();
                    return Some(answer);
                }
                Ok(None) if answer.len() <= MAX_ANSWER => {}
                Ok(None) | Err(()) => {
                    let stats = &self.tally.cluster;
                    stats.inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
                    return None;
                }
            }
        }
    }
}

/// How long the value is that begins here (RESP); `None` while it is not complete.
fn value_length(bytes: &[u8], depth: u32) -> Result<Option<usize>, ()> {
    let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else {
        return Ok(None);
    };
    let (line, mut length) = (&bytes[..end], end + 2);
    let number = || {
        let digits = std::str::from_utf8(&line[1..]).map_err(|_| ())?;
        digits.parse::<i64>().map_err(|_| ())
    };
    match line.first() {
        Some(b'$') => {
            if let Ok(size) = usize::try_from(number()?) {
                length = length.checked_add(size).ok_or(())?;
                length = length.checked_add(2).ok_or(())?;
            }
        }
        Some(b'*') => {
            for _ in 0..number()?.max(0) {
                let inner = depth.checked_sub(1).ok_or(())?;
                match value_length(&bytes[length..], inner)? {
                    Some(more) => length += more,
                    None => return Ok(None),
                }
            }
        }
        _ => {}
    }
    Ok((length <= bytes.len()).then_some(length))
}

impl RedisCheck {
    /// Sends the command, and waits for the answer. What becomes of the connection stands beside the finding.
    pub(super) async fn ask(
        &self,
        connection: &mut RedisConnection,
        connect: impl Future<Output = Result<Stream, ConnectError>>,
    ) -> (Finding, After) {
        match connection.exchange(&self.command(), connect).await {
            Some(answer) => (self.judge(&answer), After::Keep),
            None => (Finding::Unhealthy(Failure::Network), After::Gone),
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

    /// What the first line of an answer means.
    fn judge(&self, answer: &[u8]) -> Finding {
        let end = answer.windows(2).position(|window| window == b"\r\n");
        let well = match &answer[..end.unwrap_or(answer.len())] {
            b"+PONG" => self.key.is_empty(),
            b":0" => !self.key.is_empty(),
            // Some other node has the key: this one is alive.
            [b'-', error @ ..] => is_redirection(error),
            _ => false,
        };
        match well {
            true => Finding::Healthy { degraded: false },
            false => Finding::Unhealthy(Failure::UNEXPECTED),
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
            ("HTTP/1.1 400", unexpected, unexpected),
        ] {
            let answer = format!("{line}\r\n");
            assert_eq!(ping.judge(answer.as_bytes()), of_ping, "{line}");
            assert_eq!(exists.judge(answer.as_bytes()), of_exists, "{line}");
        }
    }

    #[test]
    fn values_have_an_end() {
        let length = |text: &str| value_length(text.as_bytes(), MAX_DEPTH);
        for whole in [
            "+PONG\r\n",
            ":1\r\n",
            "$4\r\nPONG\r\n",
            "$-1\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*2\r\n*1\r\n+a\r\n$0\r\n\r\n",
            "\r\n",
        ] {
            assert_eq!(length(whole), Ok(Some(whole.len())), "{whole:?}");
            assert_eq!(length(&format!("{whole}+")), Ok(Some(whole.len())));
            for cut in 0..whole.len() {
                assert_eq!(length(&whole[..cut]), Ok(None), "{whole:?} to {cut}");
            }
        }
        let deep = "*1\r\n".repeat(20);
        for bad in ["$x\r\n", "*\r\n", "$9223372036854775807\r\n$", &deep] {
            let found = length(bad);
            assert!(matches!(found, Err(()) | Ok(None)), "{bad:?}: {found:?}");
        }
        assert_eq!(length(&deep), Err(()));
    }
}
