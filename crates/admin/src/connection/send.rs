//! Sending responses.

use std::future::poll_fn;
use std::io;
use std::time::SystemTime;

use nuncio_buffer::Buffer;
use nuncio_http::date::with_http_date;
use nuncio_http::{HeaderMap, Known};
use tokio::time::timeout;

use super::Connection;
use crate::chunks::Chunks;
use crate::own_stats::{ClosedBy, HttpSchema};
use crate::response::{Body, Response};

impl Connection {
    /// Sends a response; `keep` leaves the connection open.
    pub(super) async fn respond(&mut self, response: Response, keep: bool) -> io::Result<()> {
        let mut headers = HeaderMap::new();
        headers.set_status(response.status);
        headers.append(Known::ContentType, response.content_type.as_bytes());
        headers.append(Known::CacheControl, b"no-cache, max-age=0");
        headers.append("x-content-type-options", b"nosniff");
        append_date_and_server(&mut headers);
        if !keep {
            headers.append(Known::Connection, b"close");
        }
        let facts = self.decoder.facts();
        self.shared.stats.response_begun(response.status);
        self.encoder
            .encode_headers(&facts, &headers, false, &mut self.output);
        let mut sent = Ok(());
        match response.body {
            // Not even made: it may be long.
            Body::Stream(_) if facts.is_head => {}
            Body::Text(text) => self.encode(&text),
            Body::Stream(write) => sent = self.send_chunks(Chunks::start(write)).await,
        }
        if sent.is_ok() {
            let nothing = &mut Buffer::new();
            self.encoder.encode_data(nothing, true, &mut self.output);
            sent = self.flush().await;
        }
        // Otherwise it was cut off, and the connection is at its end.
        if sent.is_ok() {
            self.finish(&headers, "admin_filter_response");
        }
        sent
    }

    async fn send_chunks(&mut self, mut chunks: Chunks) -> io::Result<()> {
        while let Some(piece) = chunks.next().await? {
            self.encode(&piece);
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) fn encode(&mut self, text: &str) {
        let mut data = Buffer::new();
        data.append_slice(text.as_bytes());
        if let Some(active) = &mut self.active {
            active.sent += text.len() as u64;
        }
        self.encoder.encode_data(&mut data, false, &mut self.output);
    }

    /// Sends what is encoded.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            let (stream, output) = (&mut self.stream, &mut self.output);
            let write = poll_fn(|cx| stream.poll_write(cx, output));
            let written = timeout(self.shared.limits.stalled, write)
                .await
                .map_err(io::Error::from)??;
            let counter = HttpSchema::DOWNSTREAM_CX_TX_BYTES_TOTAL;
            self.shared.stats.http.add(counter, written as u64);
        }
        self.output.release();
        Ok(())
    }

    /// Ends our side and waits for the client to end its own, so that a reset does not overtake the response.
    pub(super) async fn linger(&mut self) -> ClosedBy {
        let (stream, limit) = (&mut self.stream, self.shared.limits.linger);
        if poll_fn(|cx| stream.poll_shutdown_write(cx)).await.is_err() {
            return ClosedBy::Remote;
        }
        let rest = async {
            loop {
                self.input.clear();
                if self.read().await.is_err() {
                    return;
                }
            }
        };
        match timeout(limit, rest).await {
            // It was we who ended it.
            Ok(()) => ClosedBy::Local,
            Err(_) => {
                let counter = HttpSchema::DOWNSTREAM_CX_DELAYED_CLOSE_TIMEOUT;
                self.shared.stats.http.inc(counter);
                ClosedBy::Local
            }
        }
    }
}

/// What every response has.
pub(super) fn append_date_and_server(headers: &mut HeaderMap) {
    with_http_date(SystemTime::now(), |date| headers.append(Known::Date, date));
    headers.append(Known::Server, b"envoy");
}
