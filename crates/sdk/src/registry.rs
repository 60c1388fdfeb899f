//! The tables of extensions, one per kind.

use nuncio_config::any::type_name;

use crate::access_log::AccessLogFactory;
use crate::filter::HttpFilterFactory;
use crate::listener::ListenerFilterFactory;
use crate::network::NetworkFilterFactory;

/// All extensions of a program: the built-in ones and those of third parties.
#[derive(Clone, Default)]
pub struct Extensions {
    /// HTTP filters (`envoy.filters.http`).
    pub http_filters: Vec<&'static dyn HttpFilterFactory>,
    /// Listener filters (`envoy.filters.listener`).
    pub listener_filters: Vec<&'static dyn ListenerFilterFactory>,
    /// Network filters (`envoy.filters.network`).
    pub network_filters: Vec<&'static dyn NetworkFilterFactory>,
    /// Access loggers (`envoy.access_loggers`).
    pub access_loggers: Vec<&'static dyn AccessLogFactory>,
}

macro_rules! lookup {
    ($(#[$doc:meta])* $function:ident, $table:ident, $factory:ident, $types:ident) => {
        $(#[$doc])*
        pub fn $function(&self, type_url: &str) -> Option<&'static dyn $factory> {
            let name = type_name(type_url);
            self.$table.iter().copied().find(|factory| factory.$types().contains(&name))
        }
    };
}

impl Extensions {
    lookup! {
        /// The HTTP filter whose configuration has this type URL.
        http_filter, http_filters, HttpFilterFactory, config_types
    }
    lookup! {
        /// The HTTP filter whose per-route configuration has this type URL.
        http_filter_route, http_filters, HttpFilterFactory, route_config_types
    }
    lookup! {
        /// The listener filter whose configuration has this type URL.
        listener_filter, listener_filters, ListenerFilterFactory, config_types
    }
    lookup! {
        /// The network filter whose configuration has this type URL.
        network_filter, network_filters, NetworkFilterFactory, config_types
    }
    lookup! {
        /// The access logger whose configuration has this type URL.
        access_logger, access_loggers, AccessLogFactory, config_types
    }

    /// Removes the extension with this canonical name or `category/name` (`--disable-extensions`).
    /// Returns whether there was one.
    pub fn disable(&mut self, name: &str) -> bool {
        let before = self.count();
        let named = |category: &str, factory: &str| {
            name == factory
                || name
                    .strip_prefix(category)
                    .and_then(|rest| rest.strip_prefix('/'))
                    == Some(factory)
        };
        self.http_filters
            .retain(|factory| !named("envoy.filters.http", factory.name()));
        self.listener_filters
            .retain(|factory| !named("envoy.filters.listener", factory.name()));
        self.network_filters
            .retain(|factory| !named("envoy.filters.network", factory.name()));
        self.access_loggers
            .retain(|factory| !named("envoy.access_loggers", factory.name()));
        self.count() != before
    }

    /// (category, canonical name, configuration types) of every extension, for `/server_info` and `node.extensions`.
    pub fn list(&self) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
        let http = self
            .http_filters
            .iter()
            .map(|f| ("envoy.filters.http", f.name(), f.config_types()));
        let listener = self
            .listener_filters
            .iter()
            .map(|f| ("envoy.filters.listener", f.name(), f.config_types()));
        let network = self
            .network_filters
            .iter()
            .map(|f| ("envoy.filters.network", f.name(), f.config_types()));
        let loggers = self
            .access_loggers
            .iter()
            .map(|f| ("envoy.access_loggers", f.name(), f.config_types()));
        http.chain(listener).chain(network).chain(loggers).collect()
    }

    fn count(&self) -> usize {
        self.http_filters.len()
            + self.listener_filters.len()
            + self.network_filters.len()
            + self.access_loggers.len()
    }
}
