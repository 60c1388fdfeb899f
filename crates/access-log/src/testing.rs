//! What the tests of this crate share: a stream to be logged.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use nuncio_event::Instant;
use nuncio_http::HeaderMap;
use nuncio_net::Address;
use nuncio_sdk::{
    AccessLogType, ClusterId, ConnectionInfo, Extensions, LocalInfo, LogContext, Protocol,
    RouteView, ServerContext, StreamInfo, UpstreamHost,
};
use nuncio_stats::Store;

use crate::{AccessLogManager, FlushOptions};

/// 2026-11-22T14:15:50.428250Z
pub(crate) const WALL: Duration = Duration::from_micros(1_795_356_950_428_250);

pub(crate) struct Host {
    pub(crate) address: Address,
    pub(crate) name: &'static str,
}

impl UpstreamHost for Host {
    fn address(&self) -> &Address {
        &self.address
    }

    fn hostname(&self) -> &str {
        self.name
    }
}

struct Route;

impl RouteView for Route {
    fn route_name(&self) -> &str {
        "rw"
    }

    fn virtual_host_name(&self) -> &str {
        "vh"
    }

    fn cluster_name(&self) -> &str {
        "c"
    }

    fn cluster_id(&self) -> Option<ClusterId> {
        None
    }

    fn per_filter_configs(&self) -> &[nuncio_sdk::PerFilterConfig] {
        &[]
    }
}

/// A stream and its headers.
pub(crate) struct Stream {
    pub(crate) request: HeaderMap,
    pub(crate) response: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) info: StreamInfo,
    pub(crate) log_type: AccessLogType,
}

fn address(text: &str) -> Rc<Address> {
    Rc::new(Address::parse_ip_and_port(text).unwrap())
}

impl Stream {
    /// A stream that has just begun.
    pub(crate) fn new() -> Stream {
        let start = Instant::now();
        let connection = ConnectionInfo {
            id: 1,
            remote_address: address("127.0.0.1:48470"),
            direct_remote_address: address("127.0.0.1:48470"),
            local_address: address("127.0.0.1:28101"),
            local_address_restored: false,
            listener_name: "lis".into(),
            filter_chain_name: "fc".into(),
            listener_metadata: None,
            filter_chain_metadata: None,
            tls: false,
            start,
        };
        let mut info = StreamInfo::new(Rc::new(connection), start);
        info.wall_start = Some(UNIX_EPOCH + WALL);
        Stream {
            request: HeaderMap::new(),
            response: HeaderMap::new(),
            trailers: HeaderMap::new(),
            info,
            log_type: AccessLogType::DownstreamEnd,
        }
    }

    /// The first request of the recorded session with Envoy: proxied, rewritten, answered with 200.
    pub(crate) fn proxied() -> Stream {
        let mut stream = Stream::new();
        stream.request = [
            (":authority", "ex.org:80"),
            (":path", "/z/p%20q?a=1%202&b=&a=3&c=long&&=x"),
            (":method", "GET"),
            (":scheme", "http"),
            ("user-agent", "ua"),
            ("x-empty", ""),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-request-id", "540a1728-848e-4cef-bc43-f6387943d5fd"),
            (
                "x-envoy-original-path",
                "/rw/p%20q?a=1%202&b=&a=3&c=long&&=x",
            ),
        ]
        .into_iter()
        .collect();
        stream.response = [
            (":status", "200"),
            ("x-q", "a\"b\\c\td"),
            ("x-empty", ""),
            ("x-envoy-upstream-service-time", "0"),
        ]
        .into_iter()
        .collect();
        let info = &mut stream.info;
        let after = |micros| Some(info.start + Duration::from_micros(micros));
        info.timing.last_downstream_rx = after(100);
        info.timing.first_upstream_tx = after(200);
        info.timing.last_upstream_tx = after(250);
        info.timing.first_upstream_rx = after(1_100);
        info.timing.last_upstream_rx = after(1_150);
        info.timing.first_downstream_tx = after(1_200);
        info.timing.last_downstream_tx = after(1_399);
        info.timing.upstream_pool_ready = Some(Duration::from_micros(150));
        info.end = after(1_400);
        info.protocol = Some(Protocol::Http11);
        info.response_code = Some(200);
        info.response_code_details = Some("via_upstream".into());
        info.bytes_sent = 5;
        info.wire_bytes_received = 121;
        info.wire_bytes_sent = 205;
        info.header_bytes_received = 66;
        info.header_bytes_sent = 181;
        info.plain_header_bytes_received = 67;
        info.plain_header_bytes_sent = 182;
        info.remote_address = address("1.2.3.4:0");
        info.cluster_name = Some("c".into());
        info.route = Some(Rc::new(Route));
        let upstream = &mut info.upstream;
        upstream.host = Some(Rc::new(Host {
            address: (*address("127.0.0.1:28102")).clone(),
            name: "",
        }));
        upstream.local_address = Some(address("127.0.0.1:59698"));
        upstream.connection_id = Some(2);
        upstream.protocol = Some(Protocol::Http11);
        upstream.attempt_count = 1;
        upstream.wire_bytes_received = 192;
        upstream.wire_bytes_sent = 297;
        upstream.header_bytes_received = 160;
        upstream.head_bytes_received = 159;
        upstream.header_bytes_sent = 246;
        stream
    }

    pub(crate) fn cx(&self) -> LogContext<'_> {
        LogContext {
            request_headers: &self.request,
            response_headers: &self.response,
            response_trailers: &self.trailers,
            info: &self.info,
            log_type: self.log_type,
        }
    }
}

/// A server with an access-log manager.
pub(crate) fn server(options: FlushOptions) -> (Arc<ServerContext>, Arc<AccessLogManager>) {
    let stats = Arc::new(Store::new(2));
    let manager = Arc::new(AccessLogManager::new(&stats, 1, options));
    let server = ServerContext {
        stats,
        extensions: Extensions {
            access_loggers: vec![&crate::FILE, &crate::STDOUT, &crate::STDERR],
            ..Extensions::default()
        },
        local_info: LocalInfo::default(),
        cluster_names: nuncio_sdk::ClusterNames::default(),
        concurrency: 1,
        services: nuncio_sdk::Services::default(),
    };
    server.services.insert(Arc::clone(&manager));
    (Arc::new(server), manager)
}
