//! What a filter and an access logger may know of the route that a request took.

use crate::ClusterId;
use crate::metadata::DynamicMetadata;
use std::any::Any;
use std::sync::Arc;

/// A filter's parsed configuration at one level (route configuration, virtual host, route, weighted cluster).
pub type RouteConfig = Arc<dyn Any + Send + Sync>;

/// The filter name of [`PerFilterConfig`]s that come from the fields `cors` of `VirtualHost` and `RouteAction`, which are
/// meant for every CORS filter that has no configuration of its own.
pub const CORS_FIELD: &str = "the field cors";

/// One entry of `typed_per_filter_config`, parsed.
#[derive(Clone)]
pub struct PerFilterConfig {
    /// The filter's name in the HTTP filter chain.
    pub filter: Arc<str>,
    /// `FilterConfig.disabled`: `Some(true)` switches the filter off, `Some(false)` on, `None` says nothing.
    pub disabled: Option<bool>,
    /// The parsed message; absent when only `disabled` was given.
    pub config: Option<RouteConfig>,
}

/// The matched route as filters and loggers see it.
pub trait RouteView {
    /// `Route.name`; empty when unnamed.
    fn route_name(&self) -> &str;

    /// `VirtualHost.name`.
    fn virtual_host_name(&self) -> &str;

    /// Name of the cluster that the route forwards to; empty when it names none, or only at run time.
    fn cluster_name(&self) -> &str;

    /// The number of that cluster, if it was ever configured.
    fn cluster_id(&self) -> Option<ClusterId>;

    /// Whether the route forwards requests: it neither redirects nor answers them (Envoy's `routeEntry()`).
    fn is_forwarding(&self) -> bool {
        true
    }

    /// Per-filter configuration of every level, least specific first
    /// (route configuration, virtual host, route, weighted cluster).
    fn per_filter_configs(&self) -> &[PerFilterConfig];

    /// `Route.metadata`
    fn metadata(&self) -> Option<&DynamicMetadata> {
        None
    }

    /// `VirtualHost.metadata`
    fn virtual_host_metadata(&self) -> Option<&DynamicMetadata> {
        None
    }
}

/// The last (most specific) configuration of type `T` for the filter of this name.
pub fn most_specific<'a, T: Any>(configs: &'a [PerFilterConfig], filter: &str) -> Option<&'a T> {
    all_levels(configs, filter).last()
}

/// The configurations of type `T` for the filter of this name, least specific first.
pub fn all_levels<'a, T: Any>(
    configs: &'a [PerFilterConfig],
    filter: &str,
) -> impl Iterator<Item = &'a T> {
    configs
        .iter()
        .filter(move |entry| *entry.filter == *filter)
        .filter_map(|entry| entry.config.as_ref()?.downcast_ref::<T>())
}
