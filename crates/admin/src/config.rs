//! `envoy.config.bootstrap.v3.Admin`, checked.

use std::sync::Arc;

use nuncio_access_log::create_loggers;
use nuncio_config::api::access_log::{AccessLog, access_log::ConfigType};
use nuncio_config::api::bootstrap::Admin;
use nuncio_config::api::file_access_log::FileAccessLog;
use nuncio_config::{ConfigError, Within, any};
use nuncio_downstream::{listen_address, socket_options};
use nuncio_net::{Address, ListenOptions};
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::{AccessLogger, FactoryContext};

/// What the admin interface is configured to be.
pub struct AdminConfig {
    pub(crate) address: Address,
    pub(crate) listen: ListenOptions,
    pub(crate) access_loggers: Vec<Arc<dyn AccessLogger>>,
    /// Only these paths are answered; empty means all.
    pub(crate) allow_paths: Vec<StringMatcher>,
}

impl AdminConfig {
    /// Checks the configuration. `None` when it has no address: then there is no admin interface.
    ///
    /// # Errors
    /// Every error, with a path relative to the message.
    #[expect(
        deprecated,
        reason = "`access_log_path` is deprecated and still in wide use"
    )]
    pub fn new(config: &Admin, cx: &FactoryContext<'_>) -> Result<Option<Self>, Vec<ConfigError>> {
        let Admin {
            access_log,
            access_log_path,
            // No profiler is compiled in.
            profile_path: _,
            address,
            socket_options: options,
            // The limit never covers this listener.
            ignore_global_conn_limit: _,
            allow_paths,
        } = config;
        let mut errors = Vec::new();
        let mut access_log = access_log.clone();
        if !access_log_path.is_empty() {
            access_log.push(file_log(access_log_path));
        }
        let access_loggers = create_loggers(&access_log, cx).unwrap_or_else(|found| {
            errors.extend(found.into_iter().map(|error| error.within("access_log")));
            Vec::new()
        });
        let mut matchers = Vec::with_capacity(allow_paths.len());
        for (index, matcher) in allow_paths.iter().enumerate() {
            match StringMatcher::from_config(matcher).within_index("allow_paths", index) {
                Ok(matcher) => matchers.push(matcher),
                Err(error) => errors.push(error),
            }
        }
        let mut bound = None;
        if let Some(address) = address {
            match listen_address(address).within("address") {
                Ok(found) => bound = Some(found),
                Err(error) => errors.push(error),
            }
        }
        let mut listen = ListenOptions {
            // The address is this process's alone.
            reuse_port: false,
            ..ListenOptions::default()
        };
        if let Some((address, ipv4_compat)) = &bound {
            listen.ipv4_compat = *ipv4_compat;
            match socket_options(options, address).within("socket_options") {
                Ok(options) => listen.options = options,
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(bound.map(|(address, _)| Self {
            address,
            listen,
            access_loggers,
            allow_paths: matchers,
        }))
    }

    /// Where the interface will listen; the port may be 0.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// `access_log_path` in the form that replaced it.
fn file_log(path: &str) -> AccessLog {
    let config = FileAccessLog {
        path: path.to_owned(),
        access_log_format: None,
    };
    AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(any::pack(&config))),
    }
}
