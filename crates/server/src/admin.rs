//! Starts the admin interface and tells it who the server is.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use nuncio_admin::{AdminAction, AdminConfig, AdminContext, AdminHandle, ServerState, ServerStats};
use nuncio_app_log::AppLog;
use nuncio_config::api::admin::{CommandLineOptions, command_line_options};
use nuncio_config::api::core::{Extension, Node};
use nuncio_config::api::protobuf;
use nuncio_sdk::DrainStrategy;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::build::Parts;
use crate::options::{IpVersion, Mode, Options};

/// What the admin interface is started with.
pub(crate) struct AdminParts<'a> {
    pub(crate) options: &'a Options,
    pub(crate) parts: &'a Parts,
    pub(crate) state: Arc<ServerState>,
    pub(crate) stats: Arc<ServerStats>,
    pub(crate) bootstrap: Bytes,
    pub(crate) node: Node,
    pub(crate) app_log: Arc<AppLog>,
    pub(crate) actions: UnboundedSender<Asked>,
}

/// What the interface asks of the main thread.
pub(crate) struct Asked {
    pub(crate) action: AdminAction,
    /// Dropped when it is done.
    pub(crate) done: oneshot::Sender<()>,
}

/// Starts the interface, and writes its address where `--admin-address-path` says.
pub(crate) fn start(config: AdminConfig, admin: AdminParts<'_>) -> io::Result<AdminHandle> {
    let AdminParts {
        options,
        parts,
        state,
        stats,
        bootstrap,
        node,
        app_log,
        actions,
    } = admin;
    let context = AdminContext {
        server: parts.context.clone(),
        clusters: parts.clusters.clone(),
        listeners: parts.listeners.view(),
        state,
        server_stats: stats,
        bootstrap,
        version: crate::version(),
        node: complete(node, parts),
        command_line: command_line(options),
        log_levels: Box::new(app_log),
        // After the end of the main loop nobody listens any more, and nothing is left to be done.
        actions: Box::new(move |action| {
            let (done, wait) = oneshot::channel();
            let _ = actions.send(Asked { action, done });
            wait
        }),
    };
    let handle = nuncio_admin::start(config, context)?;
    log::info!(target: "admin", "admin address: {}", handle.address());
    // Who waits for the file finds out; the server goes on, as Envoy does.
    if let Some(path) = &options.admin_address_path
        && let Err(error) = std::fs::write(path, handle.address().to_string())
    {
        let path = path.display();
        log::error!(target: "admin", "cannot open admin address output file {path} for writing: {error}");
    }
    Ok(handle)
}

/// The node as `/server_info` shows it: with what the command line says, the program and its extensions.
fn complete(mut node: Node, parts: &Parts) -> Node {
    let info = &parts.context.local_info;
    node.id.clone_from(&info.node_id);
    node.cluster.clone_from(&info.cluster);
    if !info.zone.is_empty() {
        node.locality
            .get_or_insert_default()
            .zone
            .clone_from(&info.zone);
    }
    node.user_agent_name = "nuncio".into();
    node.extensions = parts
        .context
        .extensions
        .list()
        .into_iter()
        .map(|(category, name, types)| Extension {
            name: name.into(),
            category: category.into(),
            type_urls: types.iter().map(|&name| name.to_owned()).collect(),
            ..Extension::default()
        })
        .collect();
    node
}

fn command_line(options: &Options) -> CommandLineOptions {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let duration = |duration: std::time::Duration| {
        Some(protobuf::Duration {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanos: duration.subsec_nanos() as i32,
        })
    };
    CommandLineOptions {
        base_id: options.base_id.into(),
        concurrency: u32::try_from(options.concurrency).unwrap_or(u32::MAX),
        config_path: path(&options.config_path),
        config_yaml: options.config_yaml.clone().unwrap_or_default(),
        allow_unknown_static_fields: options.allow_unknown_static_fields,
        reject_unknown_dynamic_fields: options.reject_unknown_dynamic_fields,
        ignore_unknown_dynamic_fields: options.ignore_unknown_dynamic_fields,
        skip_deprecated_logs: options.skip_deprecated_logs,
        admin_address_path: path(&options.admin_address_path),
        local_address_ip_version: match options.local_address_ip_version {
            IpVersion::V4 => command_line_options::IpVersion::V4,
            IpVersion::V6 => command_line_options::IpVersion::V6,
        } as i32,
        log_level: options.log_level.clone(),
        component_log_level: options.component_log_level.clone(),
        log_format: options
            .log_format
            .clone()
            .unwrap_or_else(|| crate::main_loop::default_log_format(options).to_owned()),
        log_format_escaped: options.log_format_escaped,
        enable_fine_grain_logging: options.fine_grain_logging,
        log_path: path(&options.log_path),
        service_cluster: options.service_cluster.clone(),
        service_node: options.service_node.clone(),
        service_zone: options.service_zone.clone(),
        file_flush_interval: duration(options.file_flush_interval),
        drain_time: duration(options.drain_time),
        drain_strategy: match options.drain_strategy {
            DrainStrategy::Gradual => command_line_options::DrainStrategy::Gradual,
            DrainStrategy::Immediate => command_line_options::DrainStrategy::Immediate,
        } as i32,
        parent_shutdown_time: duration(options.parent_shutdown_time),
        mode: match options.mode {
            Mode::Serve => command_line_options::Mode::Serve,
            Mode::InitOnly => command_line_options::Mode::InitOnly,
            Mode::Validate => command_line_options::Mode::Validate,
        } as i32,
        disable_hot_restart: options.disable_hot_restart,
        restart_epoch: options.restart_epoch,
        cpuset_threads: options.cpuset_threads,
        disabled_extensions: options.disabled_extensions.clone(),
        socket_path: options.socket_path.clone(),
        enable_core_dump: options.enable_core_dump,
        stats_tag: options
            .stats_tags
            .iter()
            .map(|(name, value)| format!("{name}:{value}"))
            .collect(),
        // What Envoy leaves out too, whatever the command line says: the size of a flush, the socket's mode, stack traces.
        ..CommandLineOptions::default()
    }
}
