//! Accepting when the process has no file descriptor left. Alone in its process, whose limit it lowers.

use std::fs::File;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::ConfigError;
use nuncio_config::api::core::socket_address::PortSpecifier;
use nuncio_config::api::core::{self, address};
use nuncio_config::api::listener::filter::ConfigType;
use nuncio_config::api::{Any, listener as proto};
use nuncio_downstream::{ListenerManager, ManagerOptions, Origin};
use nuncio_event::{NoObserver, Workers};
use nuncio_sdk::{
    DownstreamConnection, Extensions, FactoryContext, LocalFuture, NetworkFilter,
    NetworkFilterConfig, NetworkFilterFactory, ServerContext,
};
use nuncio_stats::Store;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::task::LocalSet;

/// Sends one byte and ends.
struct Greet;

impl NetworkFilterFactory for Greet {
    fn name(&self) -> &'static str {
        "test.greet"
    }
    fn config_types(&self) -> &'static [&'static str] {
        &["test.Greet"]
    }
    fn create(
        &self,
        _: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn NetworkFilterConfig>, Vec<ConfigError>> {
        Ok(Arc::new(Greet))
    }
}

impl NetworkFilterConfig for Greet {
    fn on_worker(self: Arc<Self>) -> Rc<dyn NetworkFilter> {
        Rc::new(Greet)
    }
}

impl NetworkFilter for Greet {
    fn serve(self: Rc<Self>, mut connection: DownstreamConnection) -> LocalFuture<()> {
        Box::pin(async move {
            let mut greeting = "!".into();
            let io = &mut connection.io;
            // The client notices if it fails.
            let _ = poll_fn(|cx| io.poll_write(cx, &mut greeting)).await;
        })
    }
}

fn listener() -> proto::Listener {
    let address = core::SocketAddress {
        address: "127.0.0.1".into(),
        port_specifier: Some(PortSpecifier::PortValue(0)),
        ..Default::default()
    };
    proto::Listener {
        name: "a".into(),
        stat_prefix: "a".into(),
        address: Some(core::Address {
            address: Some(address::Address::SocketAddress(address)),
        }),
        filter_chains: vec![proto::FilterChain {
            filters: vec![proto::Filter {
                name: "greet".into(),
                config_type: Some(ConfigType::TypedConfig(Any {
                    type_url: "type.googleapis.com/test.Greet".into(),
                    value: Vec::new(),
                })),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Takes every descriptor there is, up to a limit that leaves the process little to fill.
fn take_all_descriptors() -> Vec<File> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(256);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn accepting_pauses_and_recovers() {
    let server = Arc::new(ServerContext {
        stats: Arc::new(Store::new(3)),
        extensions: Extensions {
            network_filters: vec![&Greet],
            ..Extensions::default()
        },
        local_info: Default::default(),
        cluster_names: Default::default(),
        concurrency: 1,
        services: Default::default(),
    });
    let workers = Workers::start(1, Arc::new(NoObserver), |_| ()).unwrap();
    let options = ManagerOptions::default();
    let manager = ListenerManager::new(Arc::clone(&server), workers.dispatchers(), options);
    let test = async {
        manager
            .add_or_update(listener(), Origin::Static, None)
            .unwrap();
        manager.start_workers().await;
        let to = manager.view().snapshot().listeners[0].addresses[0]
            .ip()
            .unwrap();

        let clients: Vec<_> = (0..4).map(|_| TcpSocket::new_v4().unwrap()).collect();
        let taken = take_all_descriptors();
        let mut connected = Vec::new();
        for client in clients {
            connected.push(client.connect(to).await.unwrap());
        }
        let mut answer = [0];
        let wait = Duration::from_millis(250);
        let early = tokio::time::timeout(wait, connected[0].read(&mut answer)).await;
        assert!(
            early.is_err(),
            "nobody can be served, and nobody is refused"
        );
        drop(taken);
        for client in &mut connected {
            let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut answer));
            assert_eq!(read.await.unwrap().unwrap(), 1);
        }
    };
    LocalSet::new().run_until(test).await;
    workers.stop(Duration::from_secs(20)).unwrap();
}
