//! An admin interface around a small server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nuncio_access_log::{AccessLogManager, FILE, FlushOptions};
use nuncio_app_log::Files;
use nuncio_config::api::admin::CommandLineOptions;
use nuncio_config::api::bootstrap::Admin as AdminProto;
use nuncio_config::api::core::Node;
use nuncio_config::{LoadedBootstrap, Sources, load_bootstrap};
use nuncio_downstream::ListenersView;
use nuncio_event::Dispatchers;
use nuncio_sdk::{Extensions, FactoryContext, LocalInfo, Runtime, ServerContext};
use nuncio_stats::Store;
use nuncio_upstream::ClusterManager;
use prost::Message;
use serde_json::Value;

use super::client::{Answer, BOUND, Client};
use crate::limits::Limits;
use crate::thread::start_with;
use crate::{
    AdminAction, AdminConfig, AdminContext, AdminHandle, LogLevels, ServerState, ServerStats,
};

/// A running interface and what the tests look at beside it.
pub(super) struct Fixture {
    pub(super) handle: AdminHandle,
    pub(super) server: Arc<ServerContext>,
    pub(super) state: Arc<ServerState>,
    pub(super) actions: Arc<Mutex<Vec<AdminAction>>>,
    pub(super) logs: Arc<AccessLogManager>,
}

const BOOTSTRAP: &str = "
node: {id: me, cluster: here}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
static_resources:
  clusters:
  - name: plain
    load_assignment:
      cluster_name: plain
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 29913}}}
  - name: several
    circuit_breakers: {thresholds: [{max_connections: 1, max_requests: 2, max_retries: 4, max_pending_requests: 3}]}
    load_assignment:
      cluster_name: several
      endpoints:
      - locality: {region: r, zone: z, sub_zone: s}
        load_balancing_weight: 3
        lb_endpoints:
        - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 29911}}, hostname: first}, load_balancing_weight: 5}
        - {endpoint: {address: {socket_address: {address: '::1', port_value: 29912}}}, health_status: UNHEALTHY}
layered_runtime:
  layers: [{name: one, static_layer: {}}]
";

impl Fixture {
    /// With the usual bounds on clients.
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), |_| {})
    }

    /// With other bounds and another `admin` section.
    pub(super) fn with(limits: Limits, change: impl FnOnce(&mut AdminProto)) -> Self {
        let loaded = load(BOOTSTRAP);
        let mut admin = loaded.whole().admin.unwrap();
        change(&mut admin);
        let server = server();
        let flush = FlushOptions::default();
        let logs = Arc::new(AccessLogManager::new(&server.stats, 1, flush));
        server.services.insert(logs.clone());
        let layers = loaded.whole().layered_runtime;
        server
            .services
            .insert(Runtime::new(layers, "", &server.stats));
        let cx = FactoryContext {
            server: &server,
            stat_prefix: "",
            name: "",
        };
        let config = AdminConfig::new(&admin, &cx).unwrap().unwrap();
        let state = Arc::new(ServerState::new(Arc::default()));
        state.set_live();
        let actions = Arc::<Mutex<Vec<AdminAction>>>::default();
        let asked = actions.clone();
        let clusters = ClusterManager::new(server.clone(), &Dispatchers::none(), None);
        clusters.initialize(loaded.clusters(), false).unwrap();
        let context = AdminContext {
            server: server.clone(),
            clusters,
            listeners: ListenersView::default(),
            state: state.clone(),
            server_stats: Arc::new(ServerStats::new(&server, state.clone(), 0, 7, || 3)),
            bootstrap: loaded.whole().encode_to_vec().into(),
            version: "test/1".into(),
            node: Node {
                id: "me".into(),
                user_agent_name: "nuncio".into(),
                ..Default::default()
            },
            command_line: CommandLineOptions {
                concurrency: 1,
                ..Default::default()
            },
            log_levels: Box::<Levels>::default(),
            actions: Box::new(move |action| {
                asked.lock().unwrap().push(action);
                tokio::sync::oneshot::channel().1
            }),
        };
        let handle = start_with(config, context, limits).unwrap();
        Self {
            handle,
            server,
            state,
            actions,
            logs,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.handle.address().ip().unwrap()
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub(super) fn ask(&self, method: &str, target: &str) -> Answer {
        self.connect().ask(method, target)
    }

    pub(super) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target)
    }

    /// Waits until a stat is at least `least`.
    pub(super) fn wait_for(&self, name: &str, least: u64) {
        let begun = Instant::now();
        while self.stat(name) < least {
            assert!(begun.elapsed() < BOUND, "{name} stays below {least}");
        }
    }

    /// The value of one of the interface's own stats, or another.
    pub(super) fn stat(&self, name: &str) -> u64 {
        let answer = self.get(&format!("/stats?filter=^{name}$"));
        let value = answer.body.trim_end().rsplit(' ').next().unwrap();
        value
            .parse()
            .unwrap_or_else(|_| panic!("no stat {name}: {answer:?}"))
    }
}

fn load(yaml: &str) -> LoadedBootstrap {
    let sources = Sources {
        config_yaml: Some(yaml.to_owned()),
        ..Sources::default()
    };
    load_bootstrap(&sources).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn server() -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Arc::new(Store::new(3)),
        extensions: Extensions {
            access_loggers: vec![&FILE],
            ..Extensions::default()
        },
        local_info: LocalInfo {
            address: Some([192, 0, 2, 2].into()),
            ..LocalInfo::default()
        },
        cluster_names: Default::default(),
        concurrency: 1,
        services: Default::default(),
    })
}

/// Three components.
struct Levels(Mutex<[(&'static str, &'static str); 3]>);

impl Default for Levels {
    fn default() -> Self {
        Self(Mutex::new([
            ("admin", "info"),
            ("http", "info"),
            ("router", "info"),
        ]))
    }
}

impl LogLevels for Levels {
    fn levels(&self) -> Vec<(&'static str, &'static str)> {
        self.0.lock().unwrap().to_vec()
    }

    fn set(&self, component: Option<&str>, level: &'static str) {
        for (known, present) in self.0.lock().unwrap().iter_mut() {
            if component.is_none_or(|component| component == *known) {
                *present = level;
            }
        }
    }

    fn set_files(&self, _: Files, _: &'static str) {
        unreachable!("levels are those of components");
    }

    fn fine_grain(&self) -> bool {
        false
    }
}

/// A JSON document.
pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
