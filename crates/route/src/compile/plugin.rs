//! `cluster_specifier_plugins`: a tree that leads to clusters.

use std::collections::HashMap;
use std::sync::Arc;

use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::matcher_cluster_specifier::{ClusterAction, MatcherClusterSpecifier};
use nuncio_config::api::route::ClusterSpecifierPlugin;
use nuncio_config::api::xds_core;
use nuncio_config::{ConfigError, Within, any};
use nuncio_sdk::ServerContext;

use super::cluster::intern;
use crate::action::{ClusterTree, MatchedCluster};
use crate::matching::{self, HttpInput, Place};
use crate::problems::Problems;

/// The plugins of a route configuration, by name; the first of a name counts. `None` stands for one with errors.
pub(super) type Plugins = HashMap<String, Option<Arc<ClusterTree>>>;

/// Compiles `RouteConfiguration.cluster_specifier_plugins`.
pub(super) fn compile_all(
    configs: &[ClusterSpecifierPlugin],
    server: &ServerContext,
    problems: &mut Problems,
) -> Plugins {
    let mut plugins = Plugins::new();
    for (index, config) in configs.iter().enumerate() {
        let step = format_args!("cluster_specifier_plugins[{index}]");
        let tree = problems.within(step, |problems| compile(config, server, problems));
        let name = config.extension.as_ref().map(|extension| &extension.name);
        plugins
            .entry(name.cloned().unwrap_or_default())
            .or_insert(tree);
    }
    plugins
}

/// Compiles one of them.
pub(super) fn compile(
    config: &ClusterSpecifierPlugin,
    server: &ServerContext,
    problems: &mut Problems,
) -> Option<Arc<ClusterTree>> {
    let ClusterSpecifierPlugin {
        extension,
        // Concerns types that are not known, and those are refused.
        is_optional: _,
    } = config;
    let Some(TypedExtensionConfig { name, typed_config }) = extension else {
        problems.add("extension", "value is required");
        return None;
    };
    problems.within("extension.typed_config", |problems| {
        let config = typed_config.clone().unwrap_or_default();
        if !any::is::<MatcherClusterSpecifier>(&config) {
            problems.not_registered(name, &config);
            return None;
        }
        let MatcherClusterSpecifier { cluster_matcher } =
            problems.take("", any::unpack(&config))?;
        problems.within("cluster_matcher", |problems| {
            let Some(matcher) = cluster_matcher else {
                problems.add("", "value is required");
                return None;
            };
            let mut place = ClusterPlace { server, count: 0 };
            let tree = matching::compile(&matcher, server, &mut place);
            Some(Arc::new(ClusterTree {
                tree: problems.take_all(tree)?,
                count: place.count,
            }))
        })
    })
}

struct ClusterPlace<'p> {
    server: &'p ServerContext,
    count: u32,
}

impl Place for ClusterPlace<'_> {
    type Input = HttpInput;
    type Action = MatchedCluster;
    /// Envoy takes it, and crashes when the tree is asked; so it does with inputs that route tables do not have.
    const KEEP_MATCHING: bool = false;

    fn input(&mut self, config: &xds_core::TypedExtensionConfig) -> Result<HttpInput, ConfigError> {
        HttpInput::of_routes(config)
    }

    fn action(
        &mut self,
        config: &xds_core::TypedExtensionConfig,
    ) -> Result<MatchedCluster, Vec<ConfigError>> {
        let xds_core::TypedExtensionConfig { name, typed_config } = config;
        let mut problems = Problems::default();
        let config = typed_config.clone().unwrap_or_default();
        let action = if any::is::<ClusterAction>(&config) {
            problems.take("typed_config", any::unpack(&config))
        } else {
            problems.within("typed_config", |problems| {
                problems.not_registered(name, &config);
            });
            None
        };
        let cluster = action.and_then(|ClusterAction { cluster }| {
            let checked = match cluster.is_empty() {
                true => Err(ConfigError::new(
                    "cluster",
                    "value length must be at least 1 characters",
                )),
                false => Ok(cluster),
            };
            problems.take("", checked.within("typed_config"))
        });
        problems.finish()?;
        // Who has no cluster has said why.
        let cluster = intern(&cluster.unwrap_or_default(), self.server);
        self.count += 1;
        Ok(MatchedCluster {
            number: self.count,
            cluster,
        })
    }
}
