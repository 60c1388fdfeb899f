//! From a bootstrap to the server's parts.

use std::sync::Arc;

use nuncio_access_log::{AccessLogManager, Destination, FilterMatchers, FlushOptions, LogFile};
use nuncio_admin::AdminConfig;
use nuncio_app_log::Pattern;
use nuncio_config::api::bootstrap::Bootstrap;
use nuncio_config::api::listener::Listener;
use nuncio_config::{ConfigError, Diagnostic, LoadedBootstrap};
use nuncio_downstream::{ListenAddress, ListenerManager, ManagerOptions, Origin, UpdateError};
use nuncio_event::Dispatchers;
use nuncio_route::matchers::{HeaderMatcher, MetadataMatcher};
use nuncio_sdk::{Extensions, FactoryContext, HealthState, LocalInfo, Runtime, ServerContext};
use nuncio_stats::{StatsConfig, Store};
use nuncio_upstream::ClusterManager;
use nuncio_upstream::dns::Resolvers;
use nuncio_upstream::outlier::OutlierEventLog;

use crate::local_address::local_address;
use crate::log_format::log_format;
use crate::options::Options;
use crate::stats_config::stats_config;

/// Most bytes that a worker may hold back for one log file.
const LOG_BUFFER_LIMIT: usize = 16 * 1024 * 1024;

/// The parts that live on the main thread.
pub(crate) struct Parts {
    pub(crate) context: Arc<ServerContext>,
    pub(crate) clusters: Arc<ClusterManager>,
    pub(crate) listeners: ListenerManager,
    pub(crate) logs: Arc<AccessLogManager>,
    /// Absent when the bootstrap says nothing about the application log.
    pub(crate) log_format: Option<Pattern>,
    /// Absent without `admin.address`.
    pub(crate) admin: Option<AdminConfig>,
}

/// Builds stats, log files, clusters and listeners. `workers` is empty when the configuration is only validated: then
/// nothing is resolved and nothing listens.
pub(crate) fn build(
    options: &Options,
    extensions: Extensions,
    loaded: &LoadedBootstrap,
    workers: &Dispatchers,
) -> Result<Parts, Vec<Diagnostic>> {
    let diagnose = |errors: Vec<ConfigError>| -> Vec<Diagnostic> {
        let certain = errors
            .iter()
            .filter(|error| !loaded.is_suspect(&error.path));
        certain.map(|error| loaded.diagnose(error)).collect()
    };
    let bootstrap = loaded.bootstrap();
    let validating = workers.is_empty();
    // Main, workers, admin.
    let mut errors = Vec::new();
    let config = stats_config(bootstrap.stats_config.as_ref(), &options.stats_tags).unwrap_or_else(
        |found| {
            errors.extend(found.into_iter().map(|error| error.within("stats_config")));
            StatsConfig::default()
        },
    );
    let stats = match Store::with_config(options.concurrency + 2, config) {
        Ok(stats) => Arc::new(stats),
        Err(unknown) => {
            errors.push(ConfigError::new(
                "stats_config.stats_tags",
                unknown.to_string(),
            ));
            return Err(diagnose(errors));
        }
    };
    let logs = Arc::new(AccessLogManager::new(
        &stats,
        options.concurrency,
        FlushOptions {
            interval: options.file_flush_interval,
            min_size: options.file_flush_min_size,
            limit: LOG_BUFFER_LIMIT,
        },
    ));
    let context = Arc::new(ServerContext {
        stats,
        extensions,
        local_info: local_info(options, &bootstrap),
        cluster_names: Default::default(),
        concurrency: options.concurrency,
        services: Default::default(),
    });
    // First, for everything below may be configured with keys.
    let cluster = &context.local_info.cluster;
    let runtime = Runtime::new(bootstrap.layered_runtime.clone(), cluster, &context.stats);
    context.services.insert(runtime.clone());
    if !validating {
        tokio::spawn(async move { runtime.watch_links().await });
    }
    context.services.insert(logs.clone());
    context.services.insert(Arc::<HealthState>::default());
    context.services.insert(Arc::new(filter_matchers()));

    let resolvers = match nuncio_upstream::dns::bootstrap_resolver(&bootstrap) {
        Ok(config) => Arc::new(Resolvers::new(&context.stats, &config)),
        Err(found) => {
            errors.extend(found);
            return Err(diagnose(errors));
        }
    };
    context.services.insert(resolvers.clone());
    let resolvers = (!validating).then_some(resolvers);
    let clusters = ClusterManager::new(context.clone(), workers, resolvers);
    context.services.insert(clusters.clone());
    if !validating {
        // For calls of the main thread's own.
        clusters.install_here();
    }
    if let Some(log) = outlier_log(&bootstrap, &logs, &mut errors) {
        clusters.set_outlier_event_log(log);
    }
    if let Some(manager) = &bootstrap.cluster_manager
        && !manager.local_cluster_name.is_empty()
    {
        clusters.set_local_cluster(&manager.local_cluster_name);
    }
    if let Some(manager) = &bootstrap.cluster_manager
        && let Some(bind) = &manager.upstream_bind_config
    {
        errors.extend(
            clusters
                .set_bind_config(bind.clone())
                .err()
                .unwrap_or_default(),
        );
    }
    errors.extend(
        clusters
            .initialize(loaded.clusters(), false)
            .err()
            .unwrap_or_default(),
    );

    let listeners = ListenerManager::new(
        context.clone(),
        workers,
        ManagerOptions {
            drain_time: options.drain_time,
            drain_strategy: options.drain_strategy,
            ..ManagerOptions::default()
        },
    );
    // Routes are judged by the clusters that there are.
    let judged = loaded.names_all_clusters();
    let mut validated = Vec::new();
    for (index, listener) in loaded.listeners().filter(|_| judged) {
        let result = match validating {
            true => judge(listener, &context, &mut validated),
            false => listeners
                .add_or_update(listener, Origin::Static, None)
                .map(drop),
        };
        let path = format!("static_resources.listeners[{index}]");
        match result {
            Ok(()) => {}
            Err(UpdateError::Config(found)) => {
                errors.extend(found.into_iter().map(|error| error.within(&path)));
            }
            Err(other) => errors.push(ConfigError::new(path, other.to_string())),
        }
    }
    let log_format = log_format(
        bootstrap.application_log_config.as_ref(),
        options.log_format.as_deref(),
    )
    .unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    let admin = match &bootstrap.admin {
        None => None,
        Some(admin) => {
            let cx = FactoryContext {
                server: &context,
                stat_prefix: "",
                name: "admin",
            };
            AdminConfig::new(admin, &cx).unwrap_or_else(|found| {
                errors.extend(found.into_iter().map(|error| error.within("admin")));
                None
            })
        }
    };
    if !errors.is_empty() {
        return Err(diagnose(errors));
    }
    Ok(Parts {
        log_format,
        admin,
        context,
        clusters,
        listeners,
        logs,
    })
}

/// Names and addresses of listeners.
type Addresses = Vec<(Arc<str>, Vec<ListenAddress>)>;

/// Compiles a listener beside those that were `validated` before, for what is wrong with it.
fn judge(
    listener: Listener,
    context: &Arc<ServerContext>,
    validated: &mut Addresses,
) -> Result<(), UpdateError> {
    let spec = nuncio_downstream::compile(&Arc::new(listener), context, None)
        .map_err(UpdateError::Config)?;
    let others = validated.iter().filter(|(name, _)| *name != spec.name);
    let others = others.map(|(name, addresses)| (&**name, &**addresses));
    if let Some(error) = spec.duplicate_address(others) {
        return Err(UpdateError::Config(vec![error]));
    }
    validated.push((spec.name, spec.addresses));
    Ok(())
}

/// The matchers of routes, which access-log filters use too.
fn filter_matchers() -> FilterMatchers {
    FilterMatchers {
        header: |config| {
            let matcher = HeaderMatcher::from_config(config)?;
            Ok(Box::new(move |headers| matcher.matches(headers)))
        },
        metadata: |config| {
            let matcher = MetadataMatcher::from_config(config)?;
            Ok(Box::new(move |metadata| matcher.matches(metadata)))
        },
    }
}

/// Who this proxy is: the bootstrap's node, over which the command line prevails.
fn local_info(options: &Options, bootstrap: &Bootstrap) -> LocalInfo {
    let node = bootstrap.node.clone().unwrap_or_default();
    let locality = node.locality.unwrap_or_default();
    let choose = |flag: &str, node: String| {
        if flag.is_empty() {
            node
        } else {
            flag.to_owned()
        }
    };
    LocalInfo {
        node_id: choose(&options.service_node, node.id),
        cluster: choose(&options.service_cluster, node.cluster),
        region: locality.region,
        zone: choose(&options.service_zone, locality.zone),
        sub_zone: locality.sub_zone,
        address: Some(local_address(options.local_address_ip_version)),
    }
}

/// `cluster_manager.outlier_detection.event_log_path`, opened.
fn outlier_log(
    bootstrap: &Bootstrap,
    logs: &AccessLogManager,
    errors: &mut Vec<ConfigError>,
) -> Option<Arc<dyn OutlierEventLog>> {
    struct Lines(Arc<LogFile>);
    impl OutlierEventLog for Lines {
        fn write(&self, line: &str) {
            self.0
                .write_with(|out| out.extend_from_slice(line.as_bytes()));
        }
    }
    let settings = bootstrap
        .cluster_manager
        .as_ref()?
        .outlier_detection
        .as_ref()?;
    if settings.event_log_path.is_empty() {
        return None;
    }
    match logs.open(&Destination::File(settings.event_log_path.clone().into())) {
        Ok(file) => Some(Arc::new(Lines(file))),
        Err(error) => {
            errors.push(error.within("cluster_manager.outlier_detection.event_log_path"));
            None
        }
    }
}
