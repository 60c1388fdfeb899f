//! What the upstream sends, on its way into the filter chain or around it.

use nuncio_buffer::Buffer;
use nuncio_net::Pipe;

use super::lane::{Direction, FilterSlot};
use super::{ResponseState, Stream};
use crate::hcm::response;

impl Stream {
    /// The response's headers have arrived from the upstream (in `self.response.headers`).
    pub(crate) fn respond_headers(&mut self, end: bool) {
        self.response_state = ResponseState::InFilters;
        self.info.response_code = self.response.headers.status();
        self.pass_headers(Direction::Response, 0, end);
    }

    /// A piece of the response's body has arrived from the upstream.
    pub(crate) fn respond_data(&mut self, data: &mut Buffer, end: bool) {
        if !self.response_cut {
            self.pass_data(Direction::Response, 0, data, end);
        }
    }

    /// The response's trailers have arrived from the upstream (in `self.response.trailers`).
    pub(crate) fn respond_trailers(&mut self) {
        if !self.response_cut {
            self.pass_trailers(Direction::Response, 0);
        }
    }

    /// A 1xx response has arrived from the upstream (in `self.response.headers`).
    pub(crate) fn respond_informational(&mut self) {
        if self.config().proxy_100_continue {
            response::remove_hop_by_hop(&mut self.response.headers, &self.request.headers);
            self.out.informational = true;
            self.info.response_code = self.response.headers.status();
            self.charge_response(self.info.response_code.unwrap_or(0));
        }
    }

    /// Whether the response's body may go around the filters and the codecs.
    pub(crate) fn may_splice(&self) -> bool {
        self.out.data.is_empty()
            && !self.out.end
            && !self.response_cut
            && self.filters.iter().all(FilterSlot::ignores_response_data)
    }

    pub(crate) fn emit_pipe(&mut self, pipe: Pipe, end: bool) {
        self.out.pipe = Some(pipe);
        self.out.end |= end;
    }

    /// Whether an answer with this status turns the connection into a tunnel.
    pub(crate) fn is_tunnel(&self, status: u16) -> bool {
        (self.is_upgrade && status == 101) || (self.is_connect && (200..300).contains(&status))
    }

    /// Whether the response turns the connection into a tunnel.
    pub(crate) fn opens_tunnel(&self) -> bool {
        (self.is_upgrade || self.is_connect)
            && self.is_tunnel(self.response.headers.status().unwrap_or(0))
    }

    /// Whether a response is in the filter chain or beyond it.
    pub(crate) fn response_has_begun(&self) -> bool {
        self.response_state != ResponseState::None
    }
}
