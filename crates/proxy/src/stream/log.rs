//! Access log entries of a stream.

use nuncio_http::Message;
use nuncio_sdk::{AccessLogType, LogContext, StreamInfo};

use super::Stream;
use crate::hcm::request::is_upgrade;

impl Stream {
    /// The request's headers have arrived, and the connection manager logs that.
    pub(super) fn log_start(&mut self, now: tokio::time::Instant) {
        self.timers.every(self.hcm.config.log_interval, now);
        if self.hcm.config.log_on_new_request {
            self.write(AccessLogType::DownstreamStart);
        }
    }

    /// A response with this status has passed the filters, and the connection manager logs tunnels that begin.
    pub(super) fn log_tunnel(&self, status: u16) {
        let (request, response) = (&self.request.headers, &self.response.headers);
        let begins = (is_upgrade(request) && is_upgrade(response))
            || (self.is_connect && (200..300).contains(&status));
        if begins {
            self.write(AccessLogType::DownstreamTunnelSuccessfullyEstablished);
        }
    }

    pub(super) fn log_periodic(&mut self) {
        self.write(AccessLogType::DownstreamPeriodic);
    }

    /// The stream is over: filters hear of it, then the log.
    pub(super) fn log_end(&mut self) {
        if std::mem::replace(&mut self.logged, true) {
            return;
        }
        let ended = AccessLogType::DownstreamEnd;
        let cx = context(&self.request, &self.response, &self.info, ended);
        for slot in &mut self.filters {
            slot.filter.on_stream_complete(&cx);
        }
        self.write(AccessLogType::DownstreamEnd);
    }

    fn write(&self, log_type: AccessLogType) {
        let loggers = &self.hcm.config.access_logs;
        if loggers.is_empty() {
            return;
        }
        let cx = context(&self.request, &self.response, &self.info, log_type);
        for logger in loggers {
            logger.log(&cx);
        }
    }
}

/// What loggers and filters see of a stream, whose other parts may be borrowed.
fn context<'a>(
    request: &'a Message,
    response: &'a Message,
    info: &'a StreamInfo,
    log_type: AccessLogType,
) -> LogContext<'a> {
    LogContext {
        request_headers: &request.headers,
        response_headers: &response.headers,
        response_trailers: &response.trailers,
        info,
        log_type,
    }
}
