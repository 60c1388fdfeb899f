//! Access log entries of a stream.

use nuncio_sdk::{AccessLogType, LogContext};

use super::Stream;

impl Stream {
    /// The request's headers have arrived, and the connection manager logs that.
    pub(super) fn log_start(&mut self, now: tokio::time::Instant) {
        self.timers.every(self.hcm.config.log_interval, now);
        if self.hcm.config.log_on_new_request {
            self.write(AccessLogType::DownstreamStart);
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
        let cx = LogContext {
            request_headers: &self.request.headers,
            response_headers: &self.response.headers,
            response_trailers: &self.response.trailers,
            info: &self.info,
            log_type: AccessLogType::DownstreamEnd,
        };
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
        let cx = LogContext {
            request_headers: &self.request.headers,
            response_headers: &self.response.headers,
            response_trailers: &self.response.trailers,
            info: &self.info,
            log_type,
        };
        for logger in loggers {
            logger.log(&cx);
        }
    }
}
