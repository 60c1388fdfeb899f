//! The access log of a listener: one entry per connection, when it has ended.

use std::rc::Rc;
use std::sync::Arc;

use nuncio_event::now;
use nuncio_net::{Connection, Traffic};
use nuncio_sdk::{AccessLogger, ConnectionInfo, LogContext, ResponseFlags, StreamInfo};

use super::SharedListener;

/// What the log of a connection needs, kept while it is open.
pub(super) struct LogEntry {
    listener: Arc<SharedListener>,
    info: Rc<ConnectionInfo>,
    traffic: Rc<Traffic>,
}

impl LogEntry {
    /// An entry about `io`; `None` when the listener logs nothing.
    pub(super) fn begin(
        listener: &Arc<SharedListener>,
        info: &Rc<ConnectionInfo>,
        io: &mut Connection,
    ) -> Option<Self> {
        if listener.spec.access_logs.is_empty() {
            return None;
        }
        let traffic = Rc::<Traffic>::default();
        io.count_into(Rc::clone(&traffic));
        Some(Self {
            listener: Arc::clone(listener),
            info: Rc::clone(info),
            traffic,
        })
    }
}

impl Drop for LogEntry {
    fn drop(&mut self) {
        let mut stream = stream(&self.info);
        stream.bytes_received = self.traffic.received.get();
        stream.bytes_sent = self.traffic.sent.get();
        log(&self.listener.spec.access_logs, &stream);
    }
}

/// Logs a connection that no filter chain matched.
pub(super) fn log_unmatched(loggers: &[Arc<dyn AccessLogger>], info: ConnectionInfo) {
    let mut stream = stream(&Rc::new(info));
    stream.set_flag(ResponseFlags::NO_ROUTE_FOUND);
    stream.set_details_once("filter_chain_not_found");
    log(loggers, &stream);
}

fn stream(info: &Rc<ConnectionInfo>) -> StreamInfo {
    let mut stream = StreamInfo::new(Rc::clone(info), info.start);
    stream.end = Some(now());
    stream
}

fn log(loggers: &[Arc<dyn AccessLogger>], stream: &StreamInfo) {
    let context = LogContext::of_connection(stream);
    for logger in loggers {
        logger.log(&context);
    }
}
