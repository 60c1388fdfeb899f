//! What the admin interface reads, and what it may ask of the server.

use std::sync::Arc;

use bytes::Bytes;
use nuncio_app_log::{AppLog, Component, Files, Level};
use nuncio_config::api::admin::CommandLineOptions;
use nuncio_config::api::core::Node;
use nuncio_downstream::ListenersView;
use nuncio_sdk::ServerContext;
use nuncio_upstream::ClusterManager;
use tokio::sync::oneshot;

use crate::server_stats::ServerStats;
use crate::state::ServerState;

/// What a request to the admin interface asks of the server. It is posted to the main thread, and answered when
/// everybody whom it concerns knows: what a client does next finds it done, as in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAction {
    /// `/quitquitquit`
    Quit,
    /// `/drain_listeners`
    DrainListeners {
        /// Let connections leave for the drain time before the listeners stop.
        graceful: bool,
        /// Let connections leave, but do not stop the listeners.
        skip_exit: bool,
        /// Only listeners with `traffic_direction: INBOUND`.
        inbound_only: bool,
    },
    /// `/reopen_logs`
    ReopenLogs,
    /// `/healthcheck/fail`; [`ServerState`] is set already.
    HealthCheckFail,
    /// `/healthcheck/ok`; [`ServerState`] is set already.
    HealthCheckOk,
}

/// The levels of the application log, by component. Levels have Envoy's names: `trace` … `off`.
pub trait LogLevels: Send + Sync {
    /// Every component and its level, in the order in which `/logging` lists them.
    fn levels(&self) -> Vec<(&'static str, &'static str)>;
    /// Sets the level of one component, or of all (`None`); `level` is one of [`LOG_LEVELS`](crate::LOG_LEVELS) and the
    /// component one of [`Self::levels`].
    fn set(&self, component: Option<&str>, level: &'static str);
    /// Sets the level of files, where levels are those of files.
    fn set_files(&self, files: Files, level: &'static str);
    /// Whether levels are those of files (`--enable-fine-grain-logging`); then [`Self::levels`] lists these.
    fn fine_grain(&self) -> bool;
}

impl LogLevels for Arc<AppLog> {
    fn levels(&self) -> Vec<(&'static str, &'static str)> {
        if let Some(files) = self.file_levels() {
            return files
                .into_iter()
                .map(|(file, level)| (file, level.name()))
                .collect();
        }
        let levels = AppLog::levels(self);
        levels
            .map(|(component, level)| (component.name(), level.name()))
            .collect()
    }

    fn set(&self, component: Option<&str>, level: &'static str) {
        // Both names are known: the handler has looked.
        let Ok(level) = Level::parse(level) else {
            return;
        };
        match component.map(Component::parse) {
            None => self.set_all(level),
            Some(Ok(component)) => self.set_level(component, level),
            Some(Err(_)) => {}
        }
    }

    fn set_files(&self, files: Files, level: &'static str) {
        if let Ok(level) = Level::parse(level) {
            AppLog::set_files(self, files, level);
        }
    }

    fn fine_grain(&self) -> bool {
        self.file_levels().is_some()
    }
}

/// Everything the admin interface needs of the server. All of it can be read from any thread.
pub struct AdminContext {
    /// Stats, extensions, names.
    pub server: Arc<ServerContext>,
    /// For `/clusters` and `/config_dump`.
    pub clusters: Arc<ClusterManager>,
    /// For `/listeners` and `/config_dump`.
    pub listeners: ListenersView,
    /// For `/ready` and `/server_info`.
    pub state: Arc<ServerState>,
    /// Brought up to date before each scrape.
    pub server_stats: Arc<ServerStats>,
    /// The `envoy.config.bootstrap.v3.Bootstrap` in wire format, for `/config_dump`.
    pub bootstrap: Bytes,
    /// `ServerInfo.version`
    pub version: String,
    /// `ServerInfo.node`: the bootstrap's, completed with what the command line says and with user agent and extensions.
    pub node: Node,
    /// `ServerInfo.command_line_options`
    pub command_line: CommandLineOptions,
    /// For `/logging`.
    pub log_levels: Box<dyn LogLevels>,
    /// Does what a request asks for; called on the admin thread, must not block. The receiver is ready when it is done, or
    /// will not be.
    pub actions: Box<dyn Fn(AdminAction) -> oneshot::Receiver<()> + Send + Sync>,
}
