//! Files that hold what xDS would answer: a `DiscoveryResponse` as YAML, JSON or binary protobuf
//! (`ConfigSource.path_config_source`).

use std::path::Path;

use prost::{Message, Name};

use crate::{
    ConfigError, Diagnostic, Document, any,
    api::{
        Any,
        discovery::{DiscoveryResponse, Resource},
    },
    check::check,
    load::Loader,
    normalise::normalise,
    schema::MessageType,
};

/// The resources of a file.
#[derive(Debug)]
pub struct DiscoveryFile {
    /// `version_info`
    pub version_info: String,
    /// `resources`, each out of its `Resource` wrapper.
    pub resources: Vec<Any>,
    /// Fields that nobody knows: dynamic configuration may have them, as in Envoy.
    pub unknown_fields: usize,
    document: Document,
}

/// Why a file gives no resources. Envoy counts the two apart.
#[derive(Debug)]
pub enum DiscoveryFileError {
    /// It cannot be read, or is no `DiscoveryResponse` at all (`update_failure`).
    Unreadable(Vec<Diagnostic>),
    /// It is one, of which something is wrong or not supported (`update_rejected`).
    Rejected(Vec<Diagnostic>),
}

impl DiscoveryFileError {
    /// All that is wrong, in the order of places.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Unreadable(all) | Self::Rejected(all) => all,
        }
    }
}

impl DiscoveryFile {
    /// Reads and checks a file: `.yaml` and `.yml` are YAML, `.pb` is binary, anything else is JSON.
    ///
    /// # Errors
    /// [`DiscoveryFileError`], with everything that is wrong.
    pub fn read(path: &Path) -> Result<Self, DiscoveryFileError> {
        let message = MessageType::find(&DiscoveryResponse::full_name());
        let mut loader = Loader::default();
        loader.message = message;
        loader.allow_unknown = true;
        loader.file(path);
        if !loader.errors.is_empty() {
            return Err(DiscoveryFileError::Unreadable(loader.errors));
        }
        let Some(message) = message else {
            return Err(DiscoveryFileError::Unreadable(Vec::new()));
        };
        if loader.rough {
            let (normal, errors) = normalise(message, &loader.wire, &[]);
            if !errors.is_empty() {
                let errors = loader.document.diagnose_all(&errors);
                return Err(DiscoveryFileError::Unreadable(errors));
            }
            loader.wire = normal;
        }
        let rejected = |document: &Document, errors: &[ConfigError]| {
            DiscoveryFileError::Rejected(document.diagnose_all(errors))
        };
        let findings = check(message, &loader.wire);
        if !findings.errors.is_empty() {
            return Err(rejected(&loader.document, &findings.errors));
        }
        let response = DiscoveryResponse::decode(loader.wire.as_slice()).map_err(|error| {
            let error = ConfigError::new("", error.to_string());
            DiscoveryFileError::Unreadable(loader.document.diagnose_all(&[error]))
        })?;
        let mut resources = response.resources;
        for (index, resource) in resources.iter_mut().enumerate() {
            if any::is::<Resource>(resource) {
                let wrapped = any::unpack::<Resource>(resource).map_err(|error| {
                    let error = error.within(format_args!("resources[{index}]"));
                    rejected(&loader.document, &[error])
                })?;
                *resource = wrapped.resource.unwrap_or_default();
            }
        }
        Ok(Self {
            version_info: response.version_info,
            resources,
            unknown_fields: loader.unknown_fields,
            document: loader.document,
        })
    }

    /// Finds the places of errors that were found later; their paths begin with `resources[…]`.
    pub fn diagnose(&self, errors: &[ConfigError]) -> Vec<Diagnostic> {
        self.document.diagnose_all(errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::endpoint::ClusterLoadAssignment;

    fn read(name: &str, text: &str) -> Result<DiscoveryFile, DiscoveryFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        DiscoveryFile::read(&path)
    }

    const TYPE: &str =
        r#""@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"#;

    fn names(file: &DiscoveryFile) -> Vec<String> {
        let unpack = |any| any::unpack::<ClusterLoadAssignment>(any).unwrap();
        let names = file.resources.iter().map(unpack);
        names.map(|assignment| assignment.cluster_name).collect()
    }

    #[test]
    fn yaml_json_and_wrapped_resources() {
        let yaml = format!("version_info: v1\nresources:\n- {TYPE}\n  cluster_name: a\n");
        let file = read("a.yaml", &yaml).unwrap();
        assert_eq!(file.version_info, "v1");
        assert_eq!(names(&file), ["a"]);
        let json = r#"{"resources": [{"@type": "x/envoy.service.discovery.v3.Resource", "name": "b",
            "resource": {"@type": "x/envoy.config.endpoint.v3.ClusterLoadAssignment", "clusterName": "b"}}]}"#;
        assert_eq!(names(&read("a.json", json).unwrap()), ["b"]);
        let file = read(
            "a.yaml",
            &format!("resources:\n- {TYPE}\n  nonsense: 1\n  cluster_name: c\nmore: 1"),
        )
        .unwrap();
        assert_eq!(
            (names(&file), file.unknown_fields),
            (vec!["c".to_owned()], 2)
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_from_what_is_wrong() {
        for text in ["resources: [", "- a", "resources: 5"] {
            let error = read("a.yaml", text).unwrap_err();
            assert!(matches!(error, DiscoveryFileError::Unreadable(_)), "{text}");
        }
        let missing = DiscoveryFile::read(Path::new("/nowhere/a.yaml")).unwrap_err();
        assert!(matches!(missing, DiscoveryFileError::Unreadable(_)));
        for (resource, path) in [
            (
                "endpoints: [{priority: 200}]\n  cluster_name: a",
                "priority",
            ),
            (
                "named_endpoints: {a: {}}\n  cluster_name: a",
                "named_endpoints",
            ),
            ("cluster_name: ''", "cluster_name"),
        ] {
            let text = format!("resources:\n- {TYPE}\n  {resource}\n");
            let error = read("a.yaml", &text).unwrap_err();
            assert!(matches!(error, DiscoveryFileError::Rejected(_)), "{text}");
            let shown = error.diagnostics()[0].to_string();
            assert!(shown.contains(path), "{shown}");
        }
    }
}
