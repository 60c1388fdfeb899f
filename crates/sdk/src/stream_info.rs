//! What is known of one stream (request and response), for filters, access logs and stats.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nuncio_event::clock;
use nuncio_net::Address;
use tokio::time::Instant;

use crate::connection::ConnectionInfo;
use crate::filter_state::FilterState;
use crate::flags::ResponseFlags;
use crate::metadata::DynamicMetadata;
use crate::route::RouteView;

/// The protocol of a message, as `%PROTOCOL%` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Protocol {
    /// `HTTP/1.1` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
            Protocol::Http3 => "HTTP/3",
        }
    }
}

/// An upstream host that a filter has asked for, whatever the load balancer would choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamOverrideHost {
    /// `ip:port`
    pub address: Box<str>,
    /// This host or none: without it the request is answered with 503.
    pub strict: bool,
    /// The status instead of that.
    pub status: Option<u16>,
}

/// Points in time of a stream; each absent until it happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Last byte of the request received from the downstream.
    pub last_downstream_rx: Option<Instant>,
    /// First byte of the response sent to the downstream.
    pub first_downstream_tx: Option<Instant>,
    /// Last byte of the response sent to the downstream.
    pub last_downstream_tx: Option<Instant>,
    /// First byte of the request sent to the upstream.
    pub first_upstream_tx: Option<Instant>,
    /// Last byte of the request sent to the upstream.
    pub last_upstream_tx: Option<Instant>,
    /// First byte of the response received from the upstream.
    pub first_upstream_rx: Option<Instant>,
    /// Last byte of the response received from the upstream.
    pub last_upstream_rx: Option<Instant>,
    /// The connection pool gave a connection.
    pub upstream_pool_ready: Option<Duration>,
}

/// An upstream host as a stream's log sees it.
pub trait UpstreamHost {
    /// The address that was connected to.
    fn address(&self) -> &Address;
    /// The endpoint's host name; empty when it has none.
    fn hostname(&self) -> &str;
    /// The endpoint's metadata.
    fn metadata(&self) -> Option<Arc<DynamicMetadata>> {
        None
    }
}

/// The upstream side of a stream.
#[derive(Clone, Default)]
pub struct UpstreamInfo {
    /// The host of the last attempt.
    pub host: Option<Rc<dyn UpstreamHost>>,
    /// Our end of the upstream connection.
    pub local_address: Option<Rc<Address>>,
    /// The other end, where it is not the host's first address.
    pub other_address: Option<Rc<Address>>,
    /// Process-wide number of the upstream connection.
    pub connection_id: Option<u64>,
    /// Protocol spoken with the upstream.
    pub protocol: Option<Protocol>,
    /// Why the transport failed; empty when it did not.
    pub transport_failure_reason: Cow<'static, str>,
    /// Requests that were sent to upstreams for this stream, retries included.
    pub attempt_count: u32,
    /// Bytes on the wire to the upstream, headers included.
    pub wire_bytes_sent: u64,
    /// Bytes on the wire from the upstream, headers included.
    pub wire_bytes_received: u64,
    /// Header bytes sent to the upstream.
    pub header_bytes_sent: u64,
    /// Header bytes received from the upstream.
    pub header_bytes_received: u64,
    /// The same, of the head alone.
    pub head_bytes_received: u64,
}

impl UpstreamInfo {
    /// Another try begins: the connection of the one before is none of its own.
    pub fn forget_connection(&mut self) {
        self.local_address = None;
        self.other_address = None;
        self.connection_id = None;
        self.protocol = None;
    }

    fn restart(&mut self) {
        let UpstreamInfo {
            host,
            local_address,
            other_address,
            connection_id,
            protocol,
            transport_failure_reason,
            attempt_count,
            wire_bytes_sent,
            wire_bytes_received,
            header_bytes_sent,
            header_bytes_received,
            head_bytes_received,
        } = self;
        *host = None;
        *local_address = None;
        *other_address = None;
        *connection_id = None;
        *protocol = None;
        *transport_failure_reason = Cow::Borrowed("");
        *attempt_count = 0;
        *wire_bytes_sent = 0;
        *wire_bytes_received = 0;
        *header_bytes_sent = 0;
        *header_bytes_received = 0;
        *head_bytes_received = 0;
    }
}

/// What is known of one stream. Reused for the next stream of a connection: see [`StreamInfo::restart`].
pub struct StreamInfo {
    /// The downstream connection.
    pub connection: Rc<ConnectionInfo>,
    /// Downstream protocol; absent before the request line was understood.
    pub protocol: Option<Protocol>,
    /// When the first byte of the request was seen.
    pub start: Instant,
    /// The same on the wall, if it is to be shown otherwise than as the thread's clock says.
    pub wall_start: Option<SystemTime>,
    /// When the stream ended; absent while it runs.
    pub end: Option<Instant>,
    /// Response flags.
    pub flags: ResponseFlags,
    /// Status sent to the downstream; absent (logged as 0) when none was.
    pub response_code: Option<u16>,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub response_code_details: Option<Cow<'static, str>>,
    /// `%CONNECTION_TERMINATION_DETAILS%`.
    pub connection_termination_details: Option<Cow<'static, str>>,
    /// Request body bytes.
    pub bytes_received: u64,
    /// Response body bytes.
    pub bytes_sent: u64,
    /// Bytes of the request on the wire.
    pub wire_bytes_received: u64,
    /// Bytes of the response on the wire.
    pub wire_bytes_sent: u64,
    /// Bytes of the request's headers on the wire.
    pub header_bytes_received: u64,
    /// Bytes of the response's headers on the wire.
    pub header_bytes_sent: u64,
    /// Bytes of the request's headers before they were compressed.
    pub plain_header_bytes_received: u64,
    /// Bytes of the response's headers before they were compressed.
    pub plain_header_bytes_sent: u64,
    /// Points in time.
    pub timing: Timing,
    /// The upstream side.
    pub upstream: UpstreamInfo,
    /// Name of the cluster that was chosen (`%UPSTREAM_CLUSTER_RAW%`).
    pub cluster_name: Option<Rc<str>>,
    /// The cluster's `alt_stat_name`, if it has one: `%UPSTREAM_CLUSTER%` shows it.
    pub cluster_alt_name: Option<Arc<str>>,
    /// The cluster's metadata, if it has some.
    pub cluster_metadata: Option<Arc<DynamicMetadata>>,
    /// Name of the virtual cluster that the request belongs to (`%VIRTUAL_CLUSTER_NAME%`).
    pub virtual_cluster_name: Option<Rc<str>>,
    /// The matched route.
    pub route: Option<Rc<dyn RouteView>>,
    /// Address of the client: that of the connection, or what `x-forwarded-for` says of it.
    pub remote_address: Rc<Address>,
    /// Per-process number of the stream.
    pub stream_id: u64,
    /// The request is a health check of this proxy.
    pub health_check: bool,
    /// The request is to be traced (`traceable_filter`).
    pub traced: bool,
    /// Text of the local reply, before `local_reply_config` (`%LOCAL_REPLY_BODY%`).
    pub local_reply_body: Cow<'static, str>,
    /// Dynamic metadata; absent until a filter sets some.
    pub metadata: Option<Box<DynamicMetadata>>,
    /// What filters have left for others; absent until one does.
    pub filter_state: Option<Box<FilterState>>,
    /// The upstream host that a filter wants for this stream.
    pub upstream_override_host: Option<Box<UpstreamOverrideHost>>,
}

impl StreamInfo {
    /// A stream that begins now.
    pub fn new(connection: Rc<ConnectionInfo>, start: Instant) -> StreamInfo {
        let remote_address = connection.remote_address.clone();
        StreamInfo {
            connection,
            protocol: None,
            start,
            wall_start: None,
            end: None,
            flags: ResponseFlags::NONE,
            response_code: None,
            response_code_details: None,
            connection_termination_details: None,
            bytes_received: 0,
            bytes_sent: 0,
            wire_bytes_received: 0,
            wire_bytes_sent: 0,
            header_bytes_received: 0,
            header_bytes_sent: 0,
            plain_header_bytes_received: 0,
            plain_header_bytes_sent: 0,
            timing: Timing::default(),
            upstream: UpstreamInfo::default(),
            cluster_name: None,
            cluster_alt_name: None,
            cluster_metadata: None,
            virtual_cluster_name: None,
            route: None,
            remote_address,
            stream_id: 0,
            health_check: false,
            traced: false,
            local_reply_body: Cow::Borrowed(""),
            metadata: None,
            filter_state: None,
            upstream_override_host: None,
        }
    }

    /// Begins the next stream, of the same connection or another. Field by field: building a stream's info anew and moving
    /// it costs as much as handling a header.
    pub fn restart(&mut self, next: &Rc<ConnectionInfo>, now: Instant) {
        let StreamInfo {
            connection,
            protocol,
            start,
            wall_start,
            end,
            flags,
            response_code,
            response_code_details,
            connection_termination_details,
            bytes_received,
            bytes_sent,
            wire_bytes_received,
            wire_bytes_sent,
            header_bytes_received,
            header_bytes_sent,
            plain_header_bytes_received,
            plain_header_bytes_sent,
            timing,
            upstream,
            cluster_name,
            cluster_alt_name,
            cluster_metadata,
            virtual_cluster_name,
            route,
            remote_address,
            stream_id,
            health_check,
            traced,
            local_reply_body,
            metadata,
            filter_state,
            upstream_override_host,
        } = self;
        if !Rc::ptr_eq(connection, next) {
            connection.clone_from(next);
        }
        if !Rc::ptr_eq(remote_address, &next.remote_address) {
            remote_address.clone_from(&next.remote_address);
        }
        *protocol = None;
        *start = now;
        *wall_start = None;
        *end = None;
        *flags = ResponseFlags::NONE;
        *response_code = None;
        *response_code_details = None;
        *connection_termination_details = None;
        *bytes_received = 0;
        *bytes_sent = 0;
        *wire_bytes_received = 0;
        *wire_bytes_sent = 0;
        *header_bytes_received = 0;
        *header_bytes_sent = 0;
        *plain_header_bytes_received = 0;
        *plain_header_bytes_sent = 0;
        *timing = Timing::default();
        upstream.restart();
        *cluster_name = None;
        *cluster_alt_name = None;
        *cluster_metadata = None;
        *virtual_cluster_name = None;
        *route = None;
        *stream_id = 0;
        *health_check = false;
        *traced = false;
        *local_reply_body = Cow::Borrowed("");
        *metadata = None;
        *filter_state = None;
        *upstream_override_host = None;
    }

    /// When the first byte of the request was seen, on the wall.
    pub fn start_time(&self) -> SystemTime {
        self.wall_start
            .unwrap_or_else(|| clock::wall_time(self.start))
    }

    /// Sets a flag.
    pub fn set_flag(&mut self, flag: ResponseFlags) {
        self.flags.insert(flag);
    }

    /// Sets the details unless an earlier, nearer cause already did.
    pub fn set_details_once(&mut self, details: impl Into<Cow<'static, str>>) {
        if self.response_code_details.is_none() {
            self.response_code_details = Some(details.into());
        }
    }

    /// From the first byte of the request to the end of the stream, or to `now` while it runs.
    pub fn duration(&self, now: Instant) -> Duration {
        self.end
            .unwrap_or(now)
            .saturating_duration_since(self.start)
    }

    /// What filters have left for others, created on first use.
    pub fn filter_state_mut(&mut self) -> &mut FilterState {
        self.filter_state.get_or_insert_default()
    }

    /// The dynamic metadata, created on first use.
    pub fn metadata_mut(&mut self) -> &mut DynamicMetadata {
        self.metadata.get_or_insert_default()
    }
}
