//! For tests: a cluster manager with one cluster, and an HTTP/2 server that behaves as the path tells it to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::cluster::{Cluster, cluster::ClusterDiscoveryType, cluster::DiscoveryType};
use nuncio_config::api::core::{
    Address, Http2ProtocolOptions, SocketAddress, address, socket_address::PortSpecifier,
};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::http_protocol_options::HttpProtocolOptions;
use nuncio_config::api::http_protocol_options::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use nuncio_config::api::protobuf::Any;
use nuncio_event::Dispatchers;
use nuncio_http::h2::{Connection, ErrorCode, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, ServerContext, Services};
use nuncio_stats::Store;
use nuncio_upstream::ClusterManager;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Runs a test on a worker's kind of runtime, bounded in time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), test)
            .await
            .expect("the test ends in time");
    });
}

/// A server with a cluster `peer` at these addresses; `http2`: what it speaks.
pub(crate) fn server(endpoints: &[SocketAddr], http2: bool) -> Arc<ServerContext> {
    let context = Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions: Extensions::default(),
        local_info: LocalInfo {
            address: Some([192, 0, 2, 9].into()),
            ..LocalInfo::default()
        },
        cluster_names: ClusterNames::default(),
        concurrency: 0,
        services: Services::default(),
    });
    let manager = ClusterManager::new(context.clone(), &Dispatchers::none(), None);
    manager.install_here();
    manager
        .initialize([(0, cluster(endpoints, http2))], false)
        .unwrap();
    context.services.insert(manager);
    context
}

/// The value of a counter of the cluster.
pub(crate) fn counter(server: &ServerContext, name: &str) -> u64 {
    let mut found = 0;
    let wanted = format!("cluster.peer.{name}");
    let query = nuncio_stats::Query::default();
    let kinds = [nuncio_stats::Kind::Counter];
    let _ = server.stats.visit(&kinds, &query, |stat| {
        if let (true, nuncio_stats::Value::Counter(value)) = (stat.name == wanted, stat.value) {
            found = value;
        }
        Ok::<(), ()>(())
    });
    found
}

fn cluster(endpoints: &[SocketAddr], http2: bool) -> Cluster {
    let endpoint = |at: &SocketAddr| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: at.ip().to_string(),
                    port_specifier: Some(PortSpecifier::PortValue(at.port().into())),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(
                    Http2ProtocolOptions::default(),
                )),
            },
        )),
        ..Default::default()
    };
    let options = Any {
        type_url: "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
            .into(),
        value: options.encode_to_vec(),
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    Cluster {
        name: "peer".into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "peer".into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: endpoints.iter().map(endpoint).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        typed_extension_protocol_options: http2.then_some((name, options)).into_iter().collect(),
        ..Default::default()
    }
}

/// What the peer has seen of its streams.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<HeaderMap>,
    pub(crate) resets: Vec<u64>,
}

/// An HTTP/2 server.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Rc<RefCell<Seen>>,
}

impl Peer {
    pub(crate) async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::<RefCell<Seen>>::default();
        let shared = seen.clone();
        tokio::task::spawn_local(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::task::spawn_local(Server::new(shared.clone()).serve(socket));
            }
        });
        Peer { address, seen }
    }
}

struct Server {
    codec: Connection,
    out: Buffer,
    paths: HashMap<StreamKey, Vec<u8>>,
    waiting: HashMap<StreamKey, Buffer>,
    seen: Rc<RefCell<Seen>>,
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    headers.iter().copied().collect()
}

const OK: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

impl Server {
    fn new(seen: Rc<RefCell<Seen>>) -> Server {
        Server {
            codec: Connection::new(Role::Server, Arc::new(H2Settings::default())),
            out: Buffer::new(),
            paths: HashMap::new(),
            waiting: HashMap::new(),
            seen,
        }
    }

    async fn serve(mut self, mut socket: TcpStream) {
        self.codec.start(&mut self.out);
        let (mut input, mut scratch) = (Buffer::new(), Message::new());
        loop {
            while let Ok(Some(incoming)) =
                self.codec.decode(&mut input, &mut scratch, &mut self.out)
            {
                if let Incoming::Stream { key, event } = incoming {
                    self.on_event(key, event, &mut scratch);
                }
            }
            while let Some(key) = self.codec.next_writable() {
                self.send(key, b"", false);
            }
            if socket.write_all(&self.out).await.is_err() {
                return;
            }
            self.out.clear();
            match socket.read_buf(input.writer(1 << 16)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    }

    fn on_event(&mut self, key: StreamKey, event: Event, scratch: &mut Message) {
        match event {
            Event::Headers { end_stream } => {
                let headers = std::mem::take(&mut scratch.headers);
                let path = headers.path().unwrap_or_default().to_vec();
                self.seen.borrow_mut().requests.push(headers);
                self.paths.insert(key, path.clone());
                self.begin(key, &path);
                if end_stream {
                    self.end(key, &path);
                }
            }
            Event::Data { end_stream } => {
                let data = std::mem::take(&mut scratch.data);
                self.codec.consumed(key, data.len(), &mut self.out);
                let path = self.paths[&key].clone();
                if path == b"/t.T/Echo" {
                    self.send(key, &data, false);
                }
                if end_stream {
                    self.end(key, &path);
                }
            }
            Event::Reset { code } => {
                self.seen.borrow_mut().resets.push(code);
                self.codec.release(key, &mut self.out);
            }
            Event::Trailers | Event::Informational => {}
        }
    }

    fn send(&mut self, key: StreamKey, data: &[u8], end: bool) {
        let waiting = self.waiting.entry(key).or_default();
        waiting.append_slice(data);
        self.codec
            .send_data(key, waiting, end, usize::MAX, &mut self.out);
    }

    /// What a path does when a request begins.
    fn begin(&mut self, key: StreamKey, path: &[u8]) {
        let out = &mut self.out;
        match path {
            b"/t.T/Echo" | b"/t.T/Quiet" => self.codec.send_headers(key, &map(&OK), false, out),
            b"/t.T/Reset" => {
                self.codec.send_headers(key, &map(&OK), false, out);
                self.codec.reset(key, ErrorCode::CANCEL, out);
            }
            _ => {}
        }
    }

    /// What a path does when a request has come whole.
    fn end(&mut self, key: StreamKey, path: &[u8]) {
        let done = map(&[("grpc-status", "0"), ("x-trailer", "t")]);
        match path {
            b"/t.T/Echo" => self.codec.send_trailers(key, &done, &mut self.out),
            b"/t.T/Fail" => {
                let failed = map(&[
                    OK[0],
                    OK[1],
                    ("grpc-status", "5"),
                    ("grpc-message", "no%21"),
                ]);
                self.codec.send_headers(key, &failed, true, &mut self.out);
            }
            b"/t.T/Http" => {
                let failed = map(&[(":status", "503")]);
                self.codec.send_headers(key, &failed, true, &mut self.out);
            }
            b"/t.T/Compressed" => self.answer(key, &[1, 0, 0, 0, 1, b'x']),
            b"/t.T/Flags" => self.answer(key, &[0x80, 0, 0, 0, 1, b'x']),
            b"/t.T/NoTrailers" => {
                self.codec
                    .send_headers(key, &map(&OK), false, &mut self.out);
                self.send(key, &[0, 0, 0, 0, 0], true);
            }
            b"/plain" => {
                let ok = map(&[(":status", "200")]);
                self.codec.send_headers(key, &ok, false, &mut self.out);
                self.send(key, b"hello", true);
            }
            _ => {}
        }
    }

    fn answer(&mut self, key: StreamKey, body: &[u8]) {
        self.codec
            .send_headers(key, &map(&OK), false, &mut self.out);
        self.send(key, body, false);
        let done = map(&[("grpc-status", "0")]);
        self.codec.send_trailers(key, &done, &mut self.out);
    }
}
