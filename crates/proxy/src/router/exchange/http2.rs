//! The exchange on one stream of an HTTP/2 connection, which a task of its own drives.

use std::task::Context;

use nuncio_buffer::Buffer;
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_upstream::{ClosedBy, PooledStream, Received, StreamReset};
use tokio::time::Instant;

use super::super::outcome::Reset;
use super::{Room, Step, Wire};
use crate::hcm::request::is_upgrade;

/// The exchange.
pub(super) struct Http2Exchange {
    stream: PooledStream,
    /// The response's final headers have come.
    started: bool,
    /// What the client wants to upgrade to: the upstream was asked by extended CONNECT (RFC 8441).
    upgrade: Option<Box<[u8]>>,
    header_bytes: usize,
}

impl Http2Exchange {
    /// Sends the request's headers; `end` when nothing follows them.
    pub(super) fn begin(mut stream: PooledStream, headers: &HeaderMap, end: bool) -> Http2Exchange {
        let upgrade = headers.get(Known::Upgrade).filter(|_| is_upgrade(headers));
        let header_bytes = match upgrade {
            Some(upgrade) => stream.send_headers(&extended_connect(headers, upgrade), end),
            None if headers.method() == Some(b"CONNECT") => {
                stream.send_headers(&plain_connect(headers), end)
            }
            None => stream.send_headers(headers, end),
        };
        Http2Exchange {
            started: false,
            upgrade: upgrade.map(Box::from),
            header_bytes,
            stream,
        }
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// The bytes of the exchange on the wire so far.
    pub(super) fn wire(&self) -> Wire {
        let bytes = self.stream.bytes();
        Wire {
            sent: bytes.sent,
            headers_sent: Some(bytes.headers_sent),
            received: bytes.received,
            headers_received: bytes.headers_received,
            // Among the headers.
            trailers_received: 0,
        }
    }

    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        self.stream.send_data(data, end);
    }

    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        self.stream.send_trailers(trailers);
    }

    pub(super) fn unsent(&self) -> usize {
        self.stream.unsent()
    }

    pub(super) fn awaits_window(&self) -> bool {
        self.stream.awaits_window()
    }

    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    /// The connection lives on, whoever is to blame.
    pub(super) fn abandon(self, _: ClosedBy) {
        drop(self.stream);
    }

    pub(super) fn finish(self, now: Instant) {
        self.stream.finish(now);
    }

    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        room: Room,
        response: &mut Message,
    ) -> Step {
        match self.stream.poll(cx, room != Room::None, response) {
            Received::Nothing => Step::Wait,
            Received::Moved => Step::Moved,
            Received::Event(event) => {
                if let Event::Headers { .. } = event {
                    self.started = true;
                    if let Some(upgrade) = &self.upgrade {
                        switch_protocols(&mut response.headers, upgrade);
                    }
                }
                Step::Event(event)
            }
            Received::Reset(reset) => Step::Failed(reason(reset), ClosedBy::Remote),
        }
    }
}

fn reason(reset: StreamReset) -> Reset {
    match reset {
        StreamReset::ConnectionTermination => Reset::ConnectionTermination,
        StreamReset::ProtocolError => Reset::ProtocolError,
        StreamReset::RemoteReset => Reset::Remote,
        StreamReset::RemoteRefused => Reset::RemoteRefused,
        StreamReset::ConnectError => Reset::ConnectError,
    }
}

/// A request for an upgrade as HTTP/2 knows it (Envoy's `transformUpgradeRequestFromH1toH2`).
fn extended_connect(headers: &HeaderMap, upgrade: &[u8]) -> HeaderMap {
    let mut connect = headers.clone();
    connect.set(Known::Method, b"CONNECT");
    connect.set(Known::Protocol, upgrade);
    connect.remove(Known::Upgrade);
    connect.remove(Known::Connection);
    if connect.get(Known::ContentLength) == Some(b"0") {
        connect.remove(Known::ContentLength);
    }
    connect
}

/// A CONNECT request has an authority and nothing else (RFC 9113, section 8.5).
fn plain_connect(headers: &HeaderMap) -> HeaderMap {
    let mut connect = headers.clone();
    connect.remove(Known::Scheme);
    connect.remove(Known::Path);
    connect
}

/// The answer to an extended CONNECT as HTTP/1.1 knows it (Envoy's `transformUpgradeResponseFromH2toH1`).
fn switch_protocols(headers: &mut HeaderMap, upgrade: &[u8]) {
    if headers.status() == Some(200) {
        headers.set_status(101);
        headers.set(Known::Upgrade, upgrade);
        headers.set(Known::Connection, b"upgrade");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().copied().collect()
    }

    #[test]
    fn an_upgrade_is_an_extended_connect() {
        let request = map(&[
            (":authority", "a"),
            (":path", "/chat"),
            (":method", "GET"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("content-length", "0"),
            ("sec-websocket-key", "k"),
        ]);
        assert_eq!(
            extended_connect(&request, b"websocket"),
            map(&[
                (":authority", "a"),
                (":path", "/chat"),
                (":method", "CONNECT"),
                ("sec-websocket-key", "k"),
                (":protocol", "websocket"),
            ])
        );
        let mut response = map(&[(":status", "200"), ("x", "y")]);
        switch_protocols(&mut response, b"websocket");
        assert_eq!(
            response,
            map(&[
                (":status", "101"),
                ("x", "y"),
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
            ])
        );
        let mut refused = map(&[(":status", "403")]);
        switch_protocols(&mut refused, b"websocket");
        assert_eq!(refused, map(&[(":status", "403")]));
    }
}
