//! What the admin interface counts of itself, under the names of Envoy's admin listener and connection manager.

use std::time::Duration;

use nuncio_stats::{LocalGroup, Store, stats_schema};

stats_schema! {
    /// `http.admin.`
    pub(crate) HttpSchema {
        counters {
            downstream_cx_delayed_close_timeout,
            downstream_cx_destroy,
            downstream_cx_destroy_active_rq,
            downstream_cx_destroy_local,
            downstream_cx_destroy_local_active_rq,
            downstream_cx_destroy_remote,
            downstream_cx_destroy_remote_active_rq,
            downstream_cx_drain_close,
            downstream_cx_http1_total,
            downstream_cx_http2_total,
            downstream_cx_http3_total,
            downstream_cx_idle_timeout,
            downstream_cx_max_duration_reached,
            downstream_cx_max_requests_reached,
            downstream_cx_overload_disable_keepalive,
            downstream_cx_protocol_error,
            downstream_cx_rx_bytes_total,
            downstream_cx_ssl_total,
            downstream_cx_total,
            downstream_cx_tx_bytes_total,
            downstream_cx_upgrades_total,
            downstream_flow_control_paused_reading_total,
            downstream_flow_control_resumed_reading_total,
            downstream_rq_1xx,
            downstream_rq_2xx,
            downstream_rq_3xx,
            downstream_rq_4xx,
            downstream_rq_5xx,
            downstream_rq_completed,
            downstream_rq_failed_path_normalization,
            downstream_rq_header_timeout,
            downstream_rq_http1_total,
            downstream_rq_http2_total,
            downstream_rq_http3_total,
            downstream_rq_idle_timeout,
            downstream_rq_max_duration_reached,
            downstream_rq_non_relative_path,
            downstream_rq_overload_close,
            downstream_rq_redirected_with_normalized_path,
            downstream_rq_rejected_via_ip_detection,
            downstream_rq_response_before_rq_complete,
            downstream_rq_rx_reset,
            downstream_rq_timeout,
            downstream_rq_too_large,
            downstream_rq_too_many_premature_resets,
            downstream_rq_total,
            downstream_rq_tx_reset,
            downstream_rq_ws_on_non_ws_route,
            rs_too_large,
        }
        gauges {
            downstream_cx_active,
            downstream_cx_http1_active,
            downstream_cx_http1_soft_drain,
            downstream_cx_http2_active,
            downstream_cx_http3_active,
            downstream_cx_rx_bytes_buffered with downstream_cx_active,
            downstream_cx_ssl_active,
            downstream_cx_tx_bytes_buffered,
            downstream_cx_upgrades_active,
            downstream_rq_active,
        }
        histograms { downstream_cx_length_ms (Ms), downstream_rq_time (Ms) }
    }
}

stats_schema! {
    /// `listener.admin.`
    pub(crate) ListenerSchema {
        counters {
            downstream_cx_destroy,
            downstream_cx_overflow,
            downstream_cx_overload_reject,
            downstream_cx_total,
            downstream_cx_transport_socket_connect_timeout,
            downstream_global_cx_overflow,
            downstream_listener_filter_error,
            downstream_listener_filter_remote_close,
            downstream_pre_cx_timeout,
            no_filter_chain_match,
        }
        gauges { downstream_cx_active, downstream_pre_cx_active with downstream_cx_active }
        histograms { connections_accepted_per_socket_event (Unspecified), downstream_cx_length_ms (Ms) }
    }
}

stats_schema! {
    /// `listener.admin.http.admin.`
    pub(crate) ListenerHttpSchema {
        counters {
            downstream_rq_1xx,
            downstream_rq_2xx,
            downstream_rq_3xx,
            downstream_rq_4xx,
            downstream_rq_5xx,
            downstream_rq_completed,
        }
    }
}

stats_schema! {
    /// `listener.admin.main_thread.`: Envoy serves admin there, and its dashboards know the name.
    pub(crate) ThreadSchema {
        counters { downstream_cx_total }
        gauges { downstream_cx_active }
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedBy {
    Local,
    Remote,
}

/// The groups of the admin thread.
pub(crate) struct OwnStats {
    pub(crate) http: LocalGroup,
    pub(crate) listener: LocalGroup,
    listener_http: LocalGroup,
    thread: LocalGroup,
    /// Groups live as long as somebody holds them.
    _groups: [std::sync::Arc<nuncio_stats::Group>; 4],
}

impl OwnStats {
    /// Registers the stats; call it on the admin thread.
    pub(crate) fn new(store: &Store) -> Self {
        let http = store.group("http.admin", HttpSchema::SCHEMA);
        let listener = store.group("listener.admin", ListenerSchema::SCHEMA);
        let listener_http = store.group("listener.admin.http.admin", ListenerHttpSchema::SCHEMA);
        let thread = store.group("listener.admin.main_thread", ThreadSchema::SCHEMA);
        Self {
            http: http.local(),
            listener: listener.local(),
            listener_http: listener_http.local(),
            thread: thread.local(),
            _groups: [http, listener, listener_http, thread],
        }
    }

    pub(crate) fn connection_opened(&self) {
        self.http.inc(HttpSchema::DOWNSTREAM_CX_TOTAL);
        self.http.gauge_add(HttpSchema::DOWNSTREAM_CX_ACTIVE, 1);
        self.http.inc(HttpSchema::DOWNSTREAM_CX_HTTP1_TOTAL);
        self.http
            .gauge_add(HttpSchema::DOWNSTREAM_CX_HTTP1_ACTIVE, 1);
        self.listener.inc(ListenerSchema::DOWNSTREAM_CX_TOTAL);
        self.listener
            .gauge_add(ListenerSchema::DOWNSTREAM_CX_ACTIVE, 1);
        self.listener
            .record(ListenerSchema::CONNECTIONS_ACCEPTED_PER_SOCKET_EVENT, 1);
        self.thread.inc(ThreadSchema::DOWNSTREAM_CX_TOTAL);
        self.thread.gauge_add(ThreadSchema::DOWNSTREAM_CX_ACTIVE, 1);
    }

    /// `active`: a request was under way.
    pub(crate) fn connection_closed(&self, by: ClosedBy, active: bool, length: Duration) {
        let length = millis(length);
        let (destroyed, with_request) = match by {
            ClosedBy::Local => (
                HttpSchema::DOWNSTREAM_CX_DESTROY_LOCAL,
                HttpSchema::DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ,
            ),
            ClosedBy::Remote => (
                HttpSchema::DOWNSTREAM_CX_DESTROY_REMOTE,
                HttpSchema::DOWNSTREAM_CX_DESTROY_REMOTE_ACTIVE_RQ,
            ),
        };
        self.http.inc(HttpSchema::DOWNSTREAM_CX_DESTROY);
        self.http.inc(destroyed);
        if active {
            self.http.inc(HttpSchema::DOWNSTREAM_CX_DESTROY_ACTIVE_RQ);
            self.http.inc(with_request);
        }
        self.http.gauge_sub(HttpSchema::DOWNSTREAM_CX_ACTIVE, 1);
        self.http
            .gauge_sub(HttpSchema::DOWNSTREAM_CX_HTTP1_ACTIVE, 1);
        self.http
            .record(HttpSchema::DOWNSTREAM_CX_LENGTH_MS, length);
        self.listener.inc(ListenerSchema::DOWNSTREAM_CX_DESTROY);
        self.listener
            .gauge_sub(ListenerSchema::DOWNSTREAM_CX_ACTIVE, 1);
        self.listener
            .record(ListenerSchema::DOWNSTREAM_CX_LENGTH_MS, length);
        self.thread.gauge_sub(ThreadSchema::DOWNSTREAM_CX_ACTIVE, 1);
    }

    pub(crate) fn request_begun(&self) {
        self.http.inc(HttpSchema::DOWNSTREAM_RQ_TOTAL);
        self.http.inc(HttpSchema::DOWNSTREAM_RQ_HTTP1_TOTAL);
        self.http.gauge_add(HttpSchema::DOWNSTREAM_RQ_ACTIVE, 1);
    }

    /// A request has ended, with a response or without.
    pub(crate) fn request_ended(&self, took: Duration) {
        self.http.gauge_sub(HttpSchema::DOWNSTREAM_RQ_ACTIVE, 1);
        self.http
            .record(HttpSchema::DOWNSTREAM_RQ_TIME, millis(took));
    }

    /// A response begins: as in Envoy, a scrape of stats counts itself.
    pub(crate) fn response_begun(&self, status: u16) {
        let (of_http, of_listener) = match status / 100 {
            1 => (
                HttpSchema::DOWNSTREAM_RQ_1XX,
                ListenerHttpSchema::DOWNSTREAM_RQ_1XX,
            ),
            2 => (
                HttpSchema::DOWNSTREAM_RQ_2XX,
                ListenerHttpSchema::DOWNSTREAM_RQ_2XX,
            ),
            3 => (
                HttpSchema::DOWNSTREAM_RQ_3XX,
                ListenerHttpSchema::DOWNSTREAM_RQ_3XX,
            ),
            4 => (
                HttpSchema::DOWNSTREAM_RQ_4XX,
                ListenerHttpSchema::DOWNSTREAM_RQ_4XX,
            ),
            5 => (
                HttpSchema::DOWNSTREAM_RQ_5XX,
                ListenerHttpSchema::DOWNSTREAM_RQ_5XX,
            ),
            _ => return,
        };
        self.http.inc(of_http);
        self.http.inc(HttpSchema::DOWNSTREAM_RQ_COMPLETED);
        self.listener_http.inc(of_listener);
        self.listener_http
            .inc(ListenerHttpSchema::DOWNSTREAM_RQ_COMPLETED);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
