//! `VirtualHost.matcher`: a tree that leads to routes.

use nuncio_config::api::route::{Route as RouteConfig, RouteList as RouteListConfig};
use nuncio_config::api::xds_core::TypedExtensionConfig;
use nuncio_config::api::xds_matcher::Matcher;
use nuncio_config::{ConfigError, any};
use nuncio_sdk::PerFilterConfig;

use super::{Scope, route};
use crate::matching::{self, HttpInput, MatchTree, Place};
use crate::problems::Problems;
use crate::table::RouteList;

/// Compiles the tree of the virtual host `virtual_host`; its routes go to `scope`.
pub(super) fn compile(
    config: &Matcher,
    virtual_host: u32,
    above: &[PerFilterConfig],
    scope: &mut Scope<'_>,
    problems: &mut Problems,
) -> Option<MatchTree<HttpInput, RouteList>> {
    let server = scope.cx.factory.server.clone();
    // As in Envoy, no cluster of these routes needs to be known.
    let validate_clusters = std::mem::take(&mut scope.validate_clusters);
    let mut place = VirtualHostPlace {
        virtual_host,
        above,
        scope,
    };
    let tree = problems.within("matcher", |problems| {
        problems.take_all(matching::compile(config, &server, &mut place))
    });
    scope.validate_clusters = validate_clusters;
    tree
}

struct VirtualHostPlace<'p, 's> {
    virtual_host: u32,
    above: &'p [PerFilterConfig],
    scope: &'p mut Scope<'s>,
}

impl Place for VirtualHostPlace<'_, '_> {
    type Input = HttpInput;
    type Action = RouteList;
    const KEEP_MATCHING: bool = false;

    fn input(&mut self, config: &TypedExtensionConfig) -> Result<HttpInput, ConfigError> {
        HttpInput::of_routes(config)
    }

    fn action(&mut self, config: &TypedExtensionConfig) -> Result<RouteList, Vec<ConfigError>> {
        let mut problems = Problems::default();
        let list = problems.within("typed_config", |problems| self.routes(config, problems));
        problems.finish()?;
        Ok(list)
    }
}

impl VirtualHostPlace<'_, '_> {
    fn routes(
        &mut self,
        TypedExtensionConfig { name, typed_config }: &TypedExtensionConfig,
        problems: &mut Problems,
    ) -> RouteList {
        let first = self.scope.routes.len();
        match typed_config {
            None => problems.add("", "value is required"),
            Some(config) if any::is::<RouteConfig>(config) => {
                if let Some(config) = problems.take("", any::unpack(config)) {
                    self.route(&config, problems);
                }
            }
            Some(config) if any::is::<RouteListConfig>(config) => {
                let list = problems.take("", any::unpack(config)).unwrap_or_default();
                let RouteListConfig { routes } = list;
                for (index, config) in routes.iter().enumerate() {
                    problems.within(format_args!("routes[{index}]"), |problems| {
                        self.route(config, problems);
                    });
                }
            }
            Some(config) => problems.not_registered(name, config),
        }
        self.scope.routes_from(first, problems)
    }

    fn route(&mut self, config: &RouteConfig, problems: &mut Problems) {
        let route = route::compile(config, self.virtual_host, self.above, self.scope, problems);
        self.scope.routes.extend(route);
    }
}
