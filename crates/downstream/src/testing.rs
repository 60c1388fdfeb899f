//! A filter and a proxy around it, for tests over real sockets.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::access_log::{AccessLog, access_log::ConfigType as LogConfig};
use nuncio_config::api::core::socket_address::PortSpecifier;
use nuncio_config::api::core::{self, address};
use nuncio_config::api::{Any, listener as proto};
use nuncio_config::{ConfigError, api::listener::filter::ConfigType};
use nuncio_event::{NoObserver, Workers, now};
use nuncio_sdk::listener::{
    AcceptedConnection, Inspection, ListenerFilter, ListenerFilterFactory, ListenerVerdict,
};
use nuncio_sdk::{
    AccessLogFactory, AccessLogger, DownstreamConnection, Extensions, FactoryContext, LocalFuture,
    LogContext, NetworkFilter, NetworkFilterConfig, NetworkFilterFactory, ResponseFlags,
    ServerContext, StreamInfo,
};
use nuncio_stats::{CounterSlot, GaugeSlot, Group, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stats::{ListenerStats, ManagerStats};
use crate::{ListenerManager, ManagerOptions, Origin};

/// No wait of a test comes near it.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// Sends back what it gets, behind the text it was configured with. It panics on `panic`, and after an
/// answer it closes when its listener drains.
struct Echo {
    text: Vec<u8>,
}

struct EchoConfig(Vec<u8>);

impl NetworkFilterConfig for EchoConfig {
    fn on_worker(self: Arc<Self>) -> Rc<dyn NetworkFilter> {
        Rc::new(Echo {
            text: self.0.clone(),
        })
    }
}

impl NetworkFilter for Echo {
    fn serve(self: Rc<Self>, mut connection: DownstreamConnection) -> LocalFuture<()> {
        assert!(self.text != b"panic", "on purpose");
        Box::pin(async move {
            let mut answer = Buffer::new();
            loop {
                let io = &mut connection.io;
                let read = poll_fn(|cx| io.poll_read(cx, &mut connection.read, 4096)).await;
                if !matches!(read, Ok(1..)) {
                    return;
                }
                assert!(&connection.read[..] != b"panic", "on purpose");
                answer.append_slice(&self.text);
                answer.append(&mut connection.read);
                while !answer.is_empty() {
                    if poll_fn(|cx| io.poll_write(cx, &mut answer)).await.is_err() {
                        return;
                    }
                }
                if connection.handle.drain.drain_close(now(), || 0) {
                    return;
                }
            }
        })
    }
}

struct EchoFactory;

impl NetworkFilterFactory for EchoFactory {
    fn name(&self) -> &'static str {
        "test.echo"
    }
    fn config_types(&self) -> &'static [&'static str] {
        &["test.Echo"]
    }
    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn NetworkFilterConfig>, Vec<ConfigError>> {
        assert!(cx.stat_prefix.starts_with("listener.") && cx.stat_prefix.ends_with('.'));
        if config.value == b"refuse" {
            return Err(vec![ConfigError::new("text", "refused")]);
        }
        Ok(Arc::new(EchoConfig(config.value.clone())))
    }
}

/// Does with connections what its configuration says.
struct Inspect(String);

impl ListenerFilter for Inspect {
    fn inspect<'a>(&'a self, connection: &'a mut AcceptedConnection) -> Inspection<'a> {
        Box::pin(async move {
            match self.0.split_once(' ') {
                Some(("restore", address)) => {
                    let address: std::net::SocketAddr = address.parse().unwrap();
                    connection.local_address = Rc::new(address.into());
                    connection.local_address_restored = true;
                }
                _ if self.0 == "close" => return ListenerVerdict::Close,
                _ if self.0 == "hang" => std::future::pending().await,
                _ if self.0 == "read" => {
                    let AcceptedConnection { stream, read, .. } = connection;
                    let byte = poll_fn(|cx| stream.poll_read(cx, read, 1)).await;
                    assert!(matches!(byte, Ok(1)));
                }
                _ => {}
            }
            ListenerVerdict::Continue
        })
    }
}

/// For `test.Inspect`, and in the place of the filter that `use_original_dst` adds.
struct InspectFactory;

impl ListenerFilterFactory for InspectFactory {
    fn name(&self) -> &'static str {
        "test.inspect"
    }
    fn config_types(&self) -> &'static [&'static str] {
        &[
            "test.Inspect",
            "envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
        ]
    }
    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn ListenerFilter>, ConfigError> {
        let text = String::from_utf8(config.value.clone()).unwrap();
        Ok(Arc::new(Inspect(text)))
    }
}

/// Keeps what is logged.
#[derive(Default)]
pub(crate) struct Logged(pub(crate) Mutex<Vec<String>>);

struct Logger(Arc<Logged>);

impl AccessLogger for Logger {
    fn log(&self, cx: &LogContext<'_>) {
        let StreamInfo {
            connection,
            flags,
            response_code_details,
            bytes_received,
            bytes_sent,
            ..
        } = cx.info;
        let chain = &connection.filter_chain_name;
        let unmatched = flags.contains(ResponseFlags::NO_ROUTE_FOUND);
        let details = response_code_details.as_deref().unwrap_or("-");
        let line = format!("{chain} {bytes_received} {bytes_sent} {unmatched} {details}");
        self.0.0.lock().unwrap().push(line);
    }
}

struct LoggerFactory;

impl AccessLogFactory for LoggerFactory {
    fn name(&self) -> &'static str {
        "test.log"
    }
    fn config_types(&self) -> &'static [&'static str] {
        &["test.Log"]
    }
    fn create(
        &self,
        _: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn AccessLogger>, ConfigError> {
        Ok(Arc::new(Logger(cx.server.service())))
    }
}

/// A logger that keeps its lines in the service [`Logged`].
pub(crate) fn access_log() -> AccessLog {
    AccessLog {
        name: "log".into(),
        filter: None,
        config_type: Some(LogConfig::TypedConfig(Any {
            type_url: "type.googleapis.com/test.Log".into(),
            value: Vec::new(),
        })),
    }
}

pub(crate) fn server() -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Store::new(4).into(),
        extensions: Extensions {
            listener_filters: vec![&InspectFactory],
            network_filters: vec![&EchoFactory],
            access_loggers: vec![&LoggerFactory],
            ..Extensions::default()
        },
        local_info: Default::default(),
        cluster_names: Default::default(),
        concurrency: 2,
        services: Default::default(),
    })
}

/// The filter that answers with `text` in front.
pub(crate) fn echo(text: &str) -> proto::Filter {
    proto::Filter {
        name: "echo".into(),
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url: "type.googleapis.com/test.Echo".into(),
            value: text.into(),
        })),
    }
}

pub(crate) fn chain(name: &str, text: &str) -> proto::FilterChain {
    proto::FilterChain {
        name: name.into(),
        filters: vec![echo(text)],
        ..Default::default()
    }
}

pub(crate) fn address(ip: &str, port: u16) -> core::Address {
    core::Address {
        address: Some(address::Address::SocketAddress(core::SocketAddress {
            address: ip.into(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })),
    }
}

pub(crate) fn pipe(path: &str) -> core::Address {
    core::Address {
        address: Some(address::Address::Pipe(core::Pipe {
            path: path.into(),
            mode: 0,
        })),
    }
}

/// A listener on a free loopback port with one chain that answers with `text` in front.
pub(crate) fn listener(name: &str, text: &str) -> proto::Listener {
    proto::Listener {
        name: name.into(),
        stat_prefix: name.into(),
        address: Some(address("127.0.0.1", 0)),
        filter_chains: vec![chain("", text)],
        ..Default::default()
    }
}

pub(crate) fn dynamic() -> Origin {
    Origin::Dynamic {
        version_info: "1".into(),
    }
}

/// Two workers and a manager.
pub(crate) struct Proxy {
    pub(crate) server: Arc<ServerContext>,
    pub(crate) manager: ListenerManager,
    workers: Option<Workers>,
}

impl Proxy {
    pub(crate) fn new(drain_time: Duration) -> Self {
        Self::with(ManagerOptions {
            drain_time,
            ..ManagerOptions::default()
        })
    }

    pub(crate) fn with(options: ManagerOptions) -> Self {
        let server = server();
        let workers = Workers::start(2, Arc::new(NoObserver), |_| ()).unwrap();
        Self {
            manager: ListenerManager::new(Arc::clone(&server), workers.dispatchers(), options),
            server,
            workers: Some(workers),
        }
    }

    /// A proxy whose workers have started.
    pub(crate) async fn started(drain_time: Duration) -> Self {
        let proxy = Self::new(drain_time);
        proxy.manager.start_workers().await;
        proxy
    }

    pub(crate) fn add(&self, listener: &proto::Listener) {
        let added = self
            .manager
            .add_or_update(listener.clone(), dynamic(), None);
        assert!(added.unwrap());
    }

    /// The port of the first address of a listener.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let snapshot = self.manager.view().snapshot();
        let mut all = snapshot.listeners.iter();
        let listener = all.find(|listener| &*listener.name == name).unwrap();
        listener.addresses[0].port().unwrap()
    }

    pub(crate) async fn connect(&self, name: &str) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port(name)))
            .await
            .unwrap()
    }

    /// A counter of the listener with this name.
    pub(crate) fn counter(&self, name: &str, slot: CounterSlot) -> u64 {
        let prefix = format!("listener.{name}");
        let stats = &self.server.stats;
        stats.group(prefix, ListenerStats::SCHEMA).counter(slot)
    }

    /// How many connections of the listener are open.
    pub(crate) fn open(&self, name: &str) -> u64 {
        let prefix = format!("listener.{name}");
        let group = self.server.stats.group(prefix, ListenerStats::SCHEMA);
        group.gauge(ListenerStats::DOWNSTREAM_CX_ACTIVE)
    }

    /// How many connections of the listener have no filter chain yet.
    pub(crate) fn waiting(&self, name: &str) -> u64 {
        let prefix = format!("listener.{name}");
        let group = self.server.stats.group(prefix, ListenerStats::SCHEMA);
        group.gauge(ListenerStats::DOWNSTREAM_PRE_CX_ACTIVE)
    }

    fn manager_stats(&self) -> Arc<Group> {
        let stats = &self.server.stats;
        stats.group("listener_manager", ManagerStats::SCHEMA)
    }

    pub(crate) fn managed(&self, slot: CounterSlot) -> u64 {
        self.manager_stats().counter(slot)
    }

    pub(crate) fn managed_now(&self, slot: GaugeSlot) -> u64 {
        self.manager_stats().gauge(slot)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            let stopped = workers.stop(BOUND);
            if !std::thread::panicking() {
                stopped.unwrap();
            }
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = now() + BOUND;
    while !condition() {
        assert!(now() < deadline, "the condition did not come true");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Sends `text` and gives the answer; empty when the connection was closed.
pub(crate) async fn ask(stream: &mut TcpStream, text: &str) -> String {
    let mut buffer = [0; 100];
    if stream.write_all(text.as_bytes()).await.is_err() {
        return String::new();
    }
    let read = tokio::time::timeout(BOUND, stream.read(&mut buffer))
        .await
        .unwrap();
    String::from_utf8_lossy(&buffer[..read.unwrap_or(0)]).into_owned()
}

/// Waits until the other side closes.
pub(crate) async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0];
    let read = tokio::time::timeout(BOUND, stream.read(&mut buffer))
        .await
        .unwrap();
    assert!(!matches!(read, Ok(1)), "bytes instead of the end");
}
