//! Components: who logs.

use std::fmt;

/// Envoy's loggers, in the order in which `/logging` lists them.
const NAMES: &[&str] = &[
    "a2a",
    "admin",
    "ai_protocol_manager",
    "alternate_protocols_cache",
    "aws",
    "assert",
    "backtrace",
    "basic_auth",
    "cache_filter",
    "client",
    "config",
    "connection",
    "conn_handler",
    "compression",
    "credential_injector",
    "decompression",
    "dns",
    "dubbo",
    "envoy_bug",
    "ext_authz",
    "ext_proc",
    "rocketmq",
    "file",
    "filter",
    "forward_proxy",
    "geolocation",
    "grpc",
    "happy_eyeballs",
    "hc",
    "health_checker",
    "http",
    "http2",
    "hystrix",
    "init",
    "io",
    "jwt",
    "json_rpc",
    "kafka",
    "key_value_store",
    "lua",
    "local_rate_limit",
    "main",
    "matcher",
    "mcp",
    "misc",
    "mongo",
    "multi_connection",
    "notification",
    "oauth2",
    "quic",
    "quic_stream",
    "pool",
    "rate_limit_quota",
    "rbac",
    "rds",
    "redis",
    "router",
    "runtime",
    "stats",
    "secret",
    "sse",
    "tap",
    "testing",
    "thrift",
    "tracing",
    "upstream",
    "udp",
    "wasm",
    "websocket",
    "golang",
    "stats_sinks",
    "dynamic_modules",
    "ip_tagging",
];

/// Which component the modules of this program log under: the longest prefix that matches counts.
const MODULES: &[(&str, &str)] = &[
    ("nuncio", "main"),
    ("nuncio_access_log", "file"),
    ("nuncio_admin", "admin"),
    ("nuncio_app_log", "main"),
    ("nuncio_config", "config"),
    ("nuncio_downstream", "conn_handler"),
    ("nuncio_downstream::manager", "config"),
    ("nuncio_event", "main"),
    ("nuncio_filters", "filter"),
    ("nuncio_http", "http"),
    ("nuncio_net", "connection"),
    ("nuncio_proxy", "http"),
    ("nuncio_proxy::router", "router"),
    ("nuncio_route", "router"),
    ("nuncio_server", "main"),
    ("nuncio_stats", "stats"),
    ("nuncio_upstream", "upstream"),
    ("nuncio_upstream::dns", "dns"),
    ("nuncio_upstream::pool", "pool"),
    ("nuncio_upstream::worker::pool", "pool"),
    ("hickory_resolver", "dns"),
    ("hickory_proto", "dns"),
];

/// Code of which nothing else is known.
const OTHER: &str = "misc";

/// One of Envoy's loggers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component(u8);

/// A name that is no component's; Envoy's words on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownComponent(pub String);

impl fmt::Display for UnknownComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: invalid component specified '{}'", self.0)
    }
}

impl std::error::Error for UnknownComponent {}

impl Component {
    /// How many there are.
    pub(crate) const COUNT: usize = NAMES.len();

    /// All components, in Envoy's order.
    pub fn all() -> impl Iterator<Item = Component> {
        (0..NAMES.len() as u8).map(Component)
    }

    /// The component of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(name: &str) -> Result<Component, UnknownComponent> {
        Component::named(name).ok_or_else(|| UnknownComponent(name.to_owned()))
    }

    /// The name that lines and `/logging` show.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn named(name: &str) -> Option<Component> {
        let index = NAMES.iter().position(|known| *known == name)?;
        Some(Component(index as u8))
    }

    /// The component of a record's target: a module path, or a component's name.
    pub(crate) fn of_target(target: &str) -> Component {
        let found = match target.split_once("::") {
            None => Component::named(target).or_else(|| module(target)),
            Some(_) => module(target),
        };
        found
            .or_else(|| Component::named(OTHER))
            .unwrap_or(Component(0))
    }
}

/// The component of the longest prefix of `path` that is known, whole segments only.
fn module(path: &str) -> Option<Component> {
    let prefixes = MODULES.iter().filter(|(prefix, _)| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    let (_, name) = prefixes.max_by_key(|(prefix, _)| prefix.len())?;
    Component::named(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_components() {
        for (target, name) in [
            ("nuncio", "main"),
            ("nuncio::signals", "main"),
            ("nuncio_upstream::manager", "upstream"),
            ("nuncio_upstream::dns::hosts", "dns"),
            ("nuncio_proxy::router::exchange", "router"),
            ("nuncio_proxy::hcm", "http"),
            ("nuncio_proxying", "misc"),
            ("pool", "pool"),
            ("pool::x", "misc"),
            ("hickory_proto::xfer", "dns"),
            ("tokio::runtime", "misc"),
            ("", "misc"),
        ] {
            assert_eq!(Component::of_target(target).name(), name, "{target}");
        }
    }

    #[test]
    fn every_module_names_a_component() {
        for (path, name) in MODULES {
            assert!(Component::parse(name).is_ok(), "{path}: {name}");
        }
        assert!(Component::parse(OTHER).is_ok());
        assert_eq!(Component::all().count(), 73);
    }
}
