//! A stream that begins anew, with a request that the router has made of the client's (Envoy's `recreateStream`).

use nuncio_sdk::Protocol;
use tokio::time::Instant;

use super::Stream;

impl Stream {
    /// Ends what there was, which is logged, and sends the request as it is now through a new filter chain, with the body that
    /// the router has kept. Nothing of the answer so far has left the router.
    pub(crate) fn recreate(&mut self, now: Instant) {
        let (special, mut body) = self.router.take_for_redirect();
        self.conclude(now);
        let headers = std::mem::take(&mut self.request.headers);
        let trailers = std::mem::take(&mut self.request.trailers);
        let protocol = self.info.protocol.unwrap_or(Protocol::Http11);
        let connection = self.info.connection.clone();
        let remote_address = self.info.remote_address.clone();
        let (start, wall_start) = (self.info.start, self.info.wall_start);
        let last_downstream_rx = self.info.timing.last_downstream_rx;
        let body_bytes = self.info.bytes_received;
        let wire_bytes = self.info.wire_bytes_received;
        let header_bytes = self.info.header_bytes_received;
        let plain_header_bytes = self.info.plain_header_bytes_received;
        let saw_close = self.saw_close;
        let filter_state = self.info.filter_state.take();

        self.restart(&connection, protocol, self.buffer_limit, now);
        self.router.special = special;
        self.saw_close = saw_close;
        self.info.remote_address = remote_address;
        self.info.start = start;
        self.info.wall_start = wall_start;
        self.info.bytes_received = body_bytes;
        self.info.wire_bytes_received = wire_bytes;
        self.info.header_bytes_received = header_bytes;
        self.info.plain_header_bytes_received = plain_header_bytes;
        self.info.filter_state = filter_state
            .and_then(|state| state.into_next_chain())
            .map(Box::new);
        self.request.headers = headers;
        let (has_body, has_trailers) = (!body.is_empty(), !trailers.is_empty());
        self.on_headers(protocol, !has_body && !has_trailers, now);
        if has_body {
            self.request.data.append(&mut body);
            self.on_data(!has_trailers, now);
        }
        if has_trailers {
            self.request.trailers = trailers;
            self.on_trailers(now);
        }
        self.info.timing.last_downstream_rx = last_downstream_rx;
    }
}
