//! Answers that the proxy gives itself (Envoy's `sendLocalReply`).

use nuncio_buffer::Buffer;
use nuncio_http::Known;
use nuncio_http::grpc::{self, Code};
use nuncio_sdk::{LocalReply, Protocol, ResponseFlags};

use super::lane::Direction;
use super::{ResponseState, Stream};
use crate::hcm::local_reply::Rewritten;
use crate::hcm::stats::HttpStats;

impl Stream {
    /// Answers the request. Nothing more of it is wanted; what the upstream does is undone.
    ///
    /// Before a response has begun, the answer runs through the response side of the chain; while one is in the chain
    /// it goes around it; once one is on its way to the client, the stream can only be cut.
    pub(crate) fn send_local_reply(&mut self, reply: LocalReply) {
        match self.response_state {
            ResponseState::None => {
                let mut body = self.begin_reply(reply);
                let end = body.is_empty();
                self.response_state = ResponseState::InFilters;
                self.pass_headers(Direction::Response, 0, end);
                if !end && !self.response_cut {
                    self.pass_data(Direction::Response, 0, &mut body, true);
                }
            }
            ResponseState::InFilters => self.replace_response(reply),
            ResponseState::Emitted => {
                self.info.set_flag(reply.flags);
                self.info.response_code_details = Some(reply.details);
                self.cut();
            }
        }
    }

    /// Answers in place of a response that is still in the filter chain.
    pub(super) fn replace_response(&mut self, reply: LocalReply) {
        if self.response_state == ResponseState::Emitted {
            self.info.set_flag(reply.flags);
            return self.cut();
        }
        let mut body = self.begin_reply(reply);
        self.response_cut = true;
        let end = body.is_empty();
        self.emit_headers(end);
        if !end {
            self.emit_data(&mut body, true);
        }
    }

    /// A filter holds more of the request than it may.
    pub(super) fn request_too_large(&mut self) {
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_TOO_LARGE);
        // With HTTP/1, Envoy judges a body before it sees that the request ends there: to it the request is not complete.
        self.request_end &= self.info.protocol == Some(Protocol::Http2);
        self.send_local_reply(LocalReply::new(
            413,
            "Payload Too Large",
            "request_payload_too_large",
        ));
    }

    /// A filter holds more of the response than it may.
    pub(super) fn response_too_large(&mut self) {
        self.hcm.stats.inc(HttpStats::RS_TOO_LARGE);
        self.replace_response(LocalReply::new(
            500,
            "Internal Server Error",
            "response_payload_too_large",
        ));
    }

    /// Ends the stream without completing its response.
    pub(crate) fn cut(&mut self) {
        // Envoy counts a stream that it resets under both names.
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_TX_RESET);
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_RX_RESET);
        self.reset_counted = true;
        self.request_cut = true;
        self.response_cut = true;
        self.out.reset = true;
        self.router_abort();
    }

    /// Whether a reply says that the client does not speak as it should: to Envoy every 400 does. With one request at a
    /// time, what follows cannot be trusted then.
    fn is_messaging_error(&self, reply: &LocalReply) -> bool {
        let is_http1 = matches!(
            self.info.protocol,
            Some(Protocol::Http10 | Protocol::Http11)
        );
        reply.status == 400 && is_http1 && !self.hcm.config.keep_on_bad_request
    }

    /// Puts the reply's headers in place and returns its body. Ends what the request has set in motion.
    fn begin_reply(&mut self, mut reply: LocalReply) -> Buffer {
        self.request_cut = true;
        self.router_abort();
        self.info.set_flag(reply.flags);
        self.info.response_code_details = Some(std::mem::take(&mut reply.details));
        self.out.close |= reply.close_connection || self.is_messaging_error(&reply);

        let headers = &mut self.response.headers;
        headers.clear();
        self.response.trailers.clear();
        headers.set_status(reply.status);
        for (name, value) in &reply.headers {
            headers.append(&**name, value);
        }
        if self.router.answers {
            self.finalize_response();
        }
        self.info.response_code = Some(reply.status);
        let headers = &mut self.response.headers;
        let hcm = self.hcm.clone();
        let rewritten = match reply.plain {
            true => Rewritten::default(),
            false => hcm.config.local_reply.rewrite(
                &mut reply,
                &self.request.headers,
                headers,
                &mut self.info,
            ),
        };
        if reply.flags.contains(ResponseFlags::UPSTREAM_OVERFLOW)
            && !hcm.config.chain.router.suppress_envoy_headers
        {
            headers.set(Known::XEnvoyOverloaded, b"true");
        }

        let mut body = Buffer::new();
        if self.is_grpc && !reply.plain {
            let status = match reply.grpc_status {
                Some(status) => Code(u64::from(status)),
                None => Code::from_http(reply.status),
            };
            headers.set_status(200);
            headers.set(Known::ContentType, grpc::CONTENT_TYPE);
            if !headers.contains(Known::GrpcStatus) {
                headers.set_number(Known::GrpcStatus, status.0);
            }
            let text = rewritten.grpc_message(&reply.body);
            if !text.is_empty() && !self.is_head {
                let mut message = Vec::new();
                grpc::encode_message(text, &mut message);
                headers.set(Known::GrpcMessage, &message);
            }
            headers.remove(Known::ContentLength);
            return body;
        }
        let text = rewritten.body(&reply.body);
        if !text.is_empty() {
            headers.set_number(Known::ContentLength, text.len() as u64);
            // A body of another make is of the type that goes with it, unless a mapper said which.
            if !headers.contains(Known::ContentType) || rewritten.decides_content_type {
                headers.set(Known::ContentType, rewritten.content_type());
            }
            if !self.is_head {
                body.append_slice(text);
            }
        } else {
            headers.remove(Known::ContentLength);
            headers.remove(Known::ContentType);
        }
        body
    }
}
