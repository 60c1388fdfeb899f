//! Encodes responses.

use nuncio_http::Known;
use nuncio_http::h1::Version;
use tokio::time::Instant;

use super::ServerConnection;
use super::ending::Drain;
use crate::hcm::stats::HttpStats;

impl ServerConnection {
    /// Encodes what the stream has ready.
    pub(super) fn take_output(&mut self, now: Instant) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let before = self.write.len();
        let mut spliced = 0;
        if std::mem::take(&mut stream.out.send_continue) {
            let http10 = self.decoder.facts().version == Version::Http10;
            self.write.append_slice(match http10 {
                true => b"HTTP/1.0 100 Continue\r\n\r\n",
                false => b"HTTP/1.1 100 Continue\r\n\r\n",
            });
        }
        if std::mem::take(&mut stream.out.informational) {
            self.encoder.encode_informational(
                &self.decoder.facts(),
                &stream.response.headers,
                &mut self.write,
            );
        }
        if stream.out.headers.is_some() && before < self.down.buffer_limit as usize {
            self.encode_headers(now);
        }
        let Some(stream) = &mut self.stream else {
            return true;
        };
        if stream.out.started && !stream.out.sent_end {
            let end_here = stream.out.end && !stream.out.trailers;
            if let Some(pipe) = stream.out.pipe.take() {
                spliced = pipe.len();
                stream.info.bytes_sent += spliced as u64;
                self.pipe = Some(pipe);
            }
            if !stream.out.data.is_empty() || end_here {
                stream.info.bytes_sent += stream.out.data.len() as u64;
                self.encoder
                    .encode_data(&mut stream.out.data, end_here, &mut self.write);
                stream.out.sent_end = end_here;
            }
            if std::mem::take(&mut stream.out.trailers) {
                self.encoder
                    .encode_trailers(&stream.response.trailers, &mut self.write);
                stream.info.header_bytes_sent = self.encoder.header_bytes() as u64;
                stream.info.plain_header_bytes_sent = stream.info.header_bytes_sent;
                stream.out.sent_end = true;
            }
        }
        let written = self.write.len() - before + spliced;
        stream.info.wire_bytes_sent += written as u64;
        if stream.out.reset {
            // What came before the cut still goes out.
            stream.out.close = true;
            self.finish_stream(now);
            return true;
        }
        if stream.out.sent_end {
            stream.info.timing.last_downstream_tx = Some(now);
            self.finish_stream(now);
            return true;
        }
        written > 0
    }

    fn encode_headers(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let end = stream.out.headers.take().unwrap_or_default();
        let hcm = &self.hcm;
        self.flush_timeout = stream.flush_timeout();
        let drain = &self.down.handle.drain;
        if self.drain == Drain::No
            && (hcm.health.is_failing() || drain.drain_close(now, || hcm.random()))
        {
            hcm.stats.inc(HttpStats::DOWNSTREAM_CX_DRAIN_CLOSE);
            self.drain = Drain::Until(now + hcm.drain_time());
        }
        stream.out.close |= stream.saw_close || self.drain.closes();
        stream.out.close_is_expected |= self.drain == Drain::AtNextResponse;
        if self.decoder.facts().version == Version::Http10 && !stream.out.close {
            // Without a length only the end of the connection ends the body.
            stream.out.close = !end && !stream.response.headers.contains(Known::ContentLength);
            stream.out.close_is_expected = stream.out.close;
            if !stream.out.close {
                stream
                    .response
                    .headers
                    .set(Known::Connection, b"keep-alive");
            }
        }
        let announce = stream.out.close || self.drain != Drain::No;
        if announce && !stream.opens_tunnel() {
            stream.response.headers.set(Known::Connection, b"close");
        }
        self.encoder.encode_headers(
            &self.decoder.facts(),
            &stream.response.headers,
            end,
            &mut self.write,
        );
        stream.info.header_bytes_sent = self.encoder.header_bytes() as u64;
        stream.info.plain_header_bytes_sent = stream.info.header_bytes_sent;
        stream.info.timing.first_downstream_tx = Some(now);
        stream.out.started = true;
        stream.out.sent_end = end;
    }
}
