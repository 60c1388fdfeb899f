//! `eds_cluster_config`: where a cluster's endpoints come from.

use std::path::PathBuf;
use std::sync::Arc;

use nuncio_config::api::cluster::cluster::EdsClusterConfig;
use nuncio_config::api::core::{
    ConfigSource, PathConfigSource, WatchedDirectory, config_source::ConfigSourceSpecifier,
};
use nuncio_config::{ConfigError, Within, convert as value};

use super::Errors;
use crate::info::ClusterKind;
use crate::manager::{Discovery, is_discovered};

/// Where the assignment of an EDS cluster comes from.
#[derive(Clone, Debug)]
pub(crate) struct EdsSource {
    /// The name of the assignment: `service_name`, else the cluster's.
    pub(crate) service_name: Arc<str>,
    pub(crate) from: EdsFrom,
}

impl EdsSource {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&FileSource> {
        match &self.from {
            EdsFrom::File(file) => Some(file),
            EdsFrom::Discovered(_) => None,
        }
    }
}

/// Who tells the assignment.
#[derive(Clone, Debug)]
pub(crate) enum EdsFrom {
    /// A file.
    File(FileSource),
    /// Whoever [discovers](Discovery).
    Discovered(Arc<ConfigSource>),
}

/// A file that holds a `DiscoveryResponse`.
#[derive(Clone, Debug)]
pub(crate) struct FileSource {
    pub(crate) path: PathBuf,
    /// Read again when anything is moved into this directory, rather than when the file itself is moved into place.
    pub(crate) watched_directory: Option<PathBuf>,
}

pub(super) fn eds(
    message: Option<EdsClusterConfig>,
    cluster: &str,
    kind: Option<ClusterKind>,
    discovery: Option<&Arc<dyn Discovery>>,
    errors: &mut Errors,
) -> Option<EdsSource> {
    let Some(EdsClusterConfig {
        eds_config,
        service_name,
    }) = message
    else {
        if kind == Some(ClusterKind::Eds) {
            errors.push(ConfigError::new(
                "eds_cluster_config",
                "cannot create an EDS cluster without an EDS config",
            ));
        }
        return None;
    };
    if kind != Some(ClusterKind::Eds) {
        errors.push(ConfigError::new(
            "eds_cluster_config",
            "eds_cluster_config set in a non-EDS cluster",
        ));
        return None;
    }
    errors.nested("eds_cluster_config", |errors| {
        let from = errors.nested("eds_config", |errors| match (eds_config, discovery) {
            (Some(source), Some(discovery)) if is_discovered(&source) => {
                errors.take(discovery.check_source(&source))?;
                Some(EdsFrom::Discovered(Arc::new(source)))
            }
            (message, _) => source(message, errors).map(EdsFrom::File),
        })?;
        Some(EdsSource {
            service_name: match service_name.as_str() {
                "" => cluster.into(),
                name => name.into(),
            },
            from,
        })
    })
}

/// A file; where nobody discovers, there is no other source.
#[expect(deprecated, reason = "`path` is still read, as Envoy reads it")]
fn source(message: Option<ConfigSource>, errors: &mut Errors) -> Option<FileSource> {
    let Some(ConfigSource {
        // Harmless: only xDS names authorities.
        authorities: _,
        initial_fetch_timeout,
        // V3 is all there is, as in Envoy.
        resource_api_version: _,
        config_source_specifier,
    }) = message
    else {
        errors.push(ConfigError::new("", "value is required"));
        return None;
    };
    // Harmless but for being a time: a file is read at once.
    let timeout = value::opt_duration(initial_fetch_timeout.as_ref());
    errors.take(timeout.within("initial_fetch_timeout"))?;
    let (path, watched_directory, field) = match config_source_specifier {
        Some(ConfigSourceSpecifier::Path(path)) => (path, None, "path"),
        Some(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
            path,
            watched_directory,
            poll_interval,
        })) => {
            errors.refuse_if(poll_interval.is_some(), "path_config_source.poll_interval");
            (path, watched_directory, "path_config_source.path")
        }
        Some(ConfigSourceSpecifier::ApiConfigSource(_)) => {
            errors.refuse_if(true, "api_config_source");
            return None;
        }
        Some(ConfigSourceSpecifier::Ads(_)) => {
            errors.refuse_if(true, "ads");
            return None;
        }
        Some(ConfigSourceSpecifier::Self_(_)) => {
            errors.refuse_if(true, "self");
            return None;
        }
        None => {
            errors.push(ConfigError::new("path_config_source", "value is required"));
            return None;
        }
    };
    let path = PathBuf::from(path);
    if !path.exists() {
        errors.push(ConfigError::new(
            field,
            format!(
                "paths must refer to an existing path in the system: '{}' does not exist",
                path.display()
            ),
        ));
        return None;
    }
    Some(FileSource {
        path,
        watched_directory: watched_directory.map(|directory| {
            let WatchedDirectory { path, watch_modify } = directory;
            errors.refuse_if(
                watch_modify,
                "path_config_source.watched_directory.watch_modify",
            );
            path.into()
        }),
    })
}
