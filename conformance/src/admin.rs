//! A client of the admin interface.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wire::{self, Message, Side};

const LIMIT: Duration = Duration::from_secs(5);

/// Values of all counters and gauges.
pub(crate) type Stats = BTreeMap<String, i64>;

/// GETs `path`.
pub(crate) fn get(port: u16, path: &str) -> Result<Message> {
    request(port, "GET", path)
}

/// Sends one request on a connection of its own.
pub(crate) fn request(port: u16, method: &str, path: &str) -> Result<Message> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let side = Side::Responses {
        to_head: method == "HEAD",
    };
    loop {
        let count = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        match wire::first(&bytes, side, count == 0) {
            Some((message, _)) if message.complete || count == 0 => return Ok(message),
            None if count == 0 => anyhow::bail!("no answer to {method} {path}"),
            _ => {}
        }
    }
}

/// Reads all counters and gauges.
pub(crate) fn stats(port: u16) -> Result<Stats> {
    let message = get(port, "/stats")?;
    let text = String::from_utf8(message.body).context("/stats is not UTF-8")?;
    Ok(text
        .lines()
        .filter_map(|line| line.rsplit_once(": "))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect())
}

/// Whether all connections and requests are over, apart from those of the admin interface.
pub(crate) fn at_rest(stats: &Stats) -> bool {
    stats.iter().all(|(name, value)| {
        let over = *value == 0;
        let watched = [
            "downstream_cx_active",
            "downstream_rq_active",
            "upstream_cx_active",
            "upstream_rq_active",
        ]
        .iter()
        .any(|suffix| name.ends_with(suffix));
        over || !watched || name.contains("admin")
    })
}

/// `*` in `pattern` stands for any text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| glob(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        assert!(glob("cluster.*_total", "cluster.a.upstream_rq_total"));
        assert!(glob("*", ""));
        assert!(!glob("cluster.*", "http.cluster."));
        assert!(!glob("a*b", "abc"));
    }
}
