//! What the command line decides.

use std::path::PathBuf;
use std::time::Duration;

use nuncio_sdk::DrainStrategy;

/// `--mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Validate the configuration, then serve.
    #[default]
    Serve,
    /// Validate the configuration and exit.
    Validate,
    /// Load and initialize everything, and exit before serving.
    InitOnly,
}

impl Mode {
    /// As in `/server_info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Serve => "Serve",
            Mode::Validate => "Validate",
            Mode::InitOnly => "InitOnly",
        }
    }
}

/// `--local-address-ip-version`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4
    #[default]
    V4,
    /// IPv6
    V6,
}

/// The command line, checked. Names and defaults are Envoy's.
#[derive(Clone, Debug)]
pub struct Options {
    /// The whole command line, as `/server_info` shows parts of it.
    pub config_path: Option<PathBuf>,
    /// `--config-yaml`: merged over the file.
    pub config_yaml: Option<String>,
    /// `--allow-unknown-static-fields`
    pub allow_unknown_static_fields: bool,
    /// `--reject-unknown-dynamic-fields`
    pub reject_unknown_dynamic_fields: bool,
    /// `--ignore-unknown-dynamic-fields`
    pub ignore_unknown_dynamic_fields: bool,
    /// `--skip-deprecated-logs`
    pub skip_deprecated_logs: bool,
    /// `--mode`
    pub mode: Mode,
    /// `--concurrency`; at least 1.
    pub concurrency: usize,
    /// `--log-level`
    pub log_level: String,
    /// `--component-log-level`
    pub component_log_level: String,
    /// `--enable-fine-grain-logging`: levels of source files instead of components.
    pub fine_grain_logging: bool,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--log-format-escaped`
    pub log_format_escaped: bool,
    /// `--log-path`
    pub log_path: Option<PathBuf>,
    /// `--admin-address-path`: where the bound admin address is written.
    pub admin_address_path: Option<PathBuf>,
    /// `--local-address-ip-version`
    pub local_address_ip_version: IpVersion,
    /// `--service-cluster`
    pub service_cluster: String,
    /// `--service-node`
    pub service_node: String,
    /// `--service-zone`
    pub service_zone: String,
    /// `--drain-time-s`, default 600 s.
    pub drain_time: Duration,
    /// `--drain-strategy`
    pub drain_strategy: DrainStrategy,
    /// `--parent-shutdown-time-s`, default 900 s.
    pub parent_shutdown_time: Duration,
    /// `--file-flush-interval-msec`, default 10 s.
    pub file_flush_interval: Duration,
    /// `--file-flush-min-size-kb`, default 64 KiB, in bytes.
    pub file_flush_min_size: usize,
    /// `--disable-extensions`
    pub disabled_extensions: Vec<String>,
    /// `--stats-tag`: (name, value) of tags on every stat.
    pub stats_tags: Vec<(String, String)>,
    /// `--base-id`
    pub base_id: u32,
    /// `--restart-epoch`
    pub restart_epoch: u32,
    /// `--disable-hot-restart`
    pub disable_hot_restart: bool,
    /// `--socket-path`
    pub socket_path: String,
    /// `--socket-mode`
    pub socket_mode: u32,
    /// `--cpuset-threads`
    pub cpuset_threads: bool,
    /// `--enable-core-dump`
    pub enable_core_dump: bool,
    /// Gives freed memory back to the system, if the program's allocator can: called when the configuration is loaded, and when
    /// start-up is over.
    pub give_back_memory: Option<fn()>,
}

impl Options {
    pub(crate) fn give_back_memory(&self) {
        if let Some(give_back) = self.give_back_memory {
            give_back();
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            config_path: None,
            config_yaml: None,
            allow_unknown_static_fields: false,
            reject_unknown_dynamic_fields: false,
            ignore_unknown_dynamic_fields: false,
            skip_deprecated_logs: false,
            mode: Mode::Serve,
            concurrency: 1,
            log_level: "info".into(),
            component_log_level: String::new(),
            fine_grain_logging: false,
            log_format: None,
            log_format_escaped: false,
            log_path: None,
            admin_address_path: None,
            local_address_ip_version: IpVersion::V4,
            service_cluster: String::new(),
            service_node: String::new(),
            service_zone: String::new(),
            drain_time: Duration::from_secs(600),
            drain_strategy: DrainStrategy::Gradual,
            parent_shutdown_time: Duration::from_secs(900),
            file_flush_interval: Duration::from_secs(10),
            file_flush_min_size: 64 * 1024,
            disabled_extensions: Vec::new(),
            stats_tags: Vec::new(),
            base_id: 0,
            restart_epoch: 0,
            disable_hot_restart: false,
            socket_path: "@envoy_domain_socket".into(),
            socket_mode: 0o600,
            cpuset_threads: false,
            enable_core_dump: false,
            give_back_memory: None,
        }
    }
}
