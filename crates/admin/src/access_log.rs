//! Entries of `admin.access_log`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use nuncio_http::{HeaderMap, Known};
use nuncio_net::Address;
use nuncio_sdk::{
    AccessLogType, AccessLogger, ConnectionInfo, LocalInfo, LogContext, Protocol, StreamInfo,
};
use tokio::time::Instant;

/// Writes the entries of one connection.
pub(crate) struct RequestLog {
    connection: Rc<ConnectionInfo>,
    /// What `x-forwarded-for` says of the peer: Envoy's admin listener trusts nobody and adds it.
    forwarded_for: String,
}

/// A request that was answered, or given up.
pub(crate) struct Finished<'a> {
    pub(crate) request: &'a HeaderMap,
    pub(crate) response: &'a HeaderMap,
    pub(crate) started: (Instant, SystemTime),
    /// Body bytes of the request.
    pub(crate) received: u64,
    /// Body bytes of the response.
    pub(crate) sent: u64,
    /// `%RESPONSE_CODE_DETAILS%`
    pub(crate) details: &'static str,
}

impl RequestLog {
    pub(crate) fn new(id: u64, peer: Address, local: Address, local_info: &LocalInfo) -> Self {
        let forwarded = match peer.ip().map(|peer| peer.ip()) {
            // A loopback peer is shown by the machine's own address.
            Some(ip) if ip.is_loopback() => Some(local_info.address.unwrap_or(ip)),
            other => other,
        };
        let peer = Rc::new(peer);
        Self {
            connection: Rc::new(ConnectionInfo {
                id,
                remote_address: peer.clone(),
                direct_remote_address: peer,
                local_address: Rc::new(local),
                local_address_restored: false,
                listener_name: "admin".into(),
                filter_chain_name: "".into(),
                listener_metadata: None,
                filter_chain_metadata: None,
                tls: false,
                start: Instant::now(),
            }),
            forwarded_for: forwarded.map(|ip| ip.to_string()).unwrap_or_default(),
        }
    }

    /// Writes an entry with every logger.
    pub(crate) fn write(&self, loggers: &[Arc<dyn AccessLogger>], finished: &Finished<'_>) {
        let mut request = finished.request.clone();
        if !self.forwarded_for.is_empty() {
            let address = self.forwarded_for.as_bytes();
            request.append(Known::XForwardedFor, address);
        }
        let (start, start_time) = finished.started;
        let mut info = StreamInfo::new(self.connection.clone(), start);
        info.wall_start = Some(start_time);
        info.protocol = Some(Protocol::Http11);
        info.end = Some(Instant::now());
        info.timing.last_downstream_tx = info.end;
        info.response_code = finished.response.status();
        info.bytes_received = finished.received;
        info.bytes_sent = finished.sent;
        info.set_details_once(finished.details);
        let trailers = HeaderMap::new();
        let context = LogContext {
            request_headers: &request,
            response_headers: finished.response,
            response_trailers: &trailers,
            info: &info,
            log_type: AccessLogType::DownstreamEnd,
        };
        loggers.iter().for_each(|logger| logger.log(&context));
    }
}
