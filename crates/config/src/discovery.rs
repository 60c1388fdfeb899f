//! Files that hold what xDS would answer: a `DiscoveryResponse` as YAML, JSON or binary protobuf
//! (`ConfigSource.path_config_source`).

use std::{borrow::Cow, path::Path};

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
    wire::{self, WireValue},
};

/// A file that was read; what is in it is for [`Self::plain`] or [`Self::resources`] to say.
#[derive(Debug)]
pub struct DiscoveryFile {
    /// Fields that nobody knows: dynamic configuration may have them, as in Envoy.
    pub unknown_fields: usize,
    wire: Vec<u8>,
    /// `wire` is not in normal form.
    rough: bool,
    document: Document,
}

/// The resources of a file.
#[derive(Debug)]
pub struct Resources {
    /// `version_info`
    pub version_info: String,
    /// `resources`, each out of its `Resource` wrapper.
    pub resources: Vec<Any>,
}

/// The one resource of a file, encoded and not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainResource<'a> {
    /// `version_info`
    pub version_info: &'a str,
    /// What the `Any` holds.
    pub value: &'a [u8],
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
    /// Reads a file: `.yaml` and `.yml` are YAML, `.pb` is binary, anything else is JSON.
    ///
    /// # Errors
    /// [`DiscoveryFileError::Unreadable`], with everything that is wrong.
    pub fn read(path: &Path) -> Result<Self, DiscoveryFileError> {
        let mut loader = Loader::default();
        loader.message = response_type();
        loader.allow_unknown = true;
        loader.file(path);
        if !loader.errors.is_empty() {
            return Err(DiscoveryFileError::Unreadable(loader.errors));
        }
        Ok(Self {
            unknown_fields: loader.unknown_fields,
            wire: loader.wire,
            rough: loader.rough,
            document: loader.document,
        })
    }

    /// The resource of a file that has one `M` and says nothing unusual around it: for those who can judge it themselves.
    pub fn plain<M: Name>(&self) -> Option<PlainResource<'_>> {
        let (mut version_info, mut resource) = (None, None);
        for field in wire::fields(&self.wire) {
            let field = field.ok()?;
            let place = match field.number {
                1 => &mut version_info,
                2 => &mut resource,
                _ => return None,
            };
            once(place, field.value)?;
        }
        let (mut url, mut value) = (None, None);
        for field in wire::fields(resource?) {
            let field = field.ok()?;
            let place = match field.number {
                1 => &mut url,
                2 => &mut value,
                _ => return None,
            };
            once(place, field.value)?;
        }
        let url = std::str::from_utf8(url?).ok()?;
        (any::type_name(url) == M::full_name()).then_some(())?;
        Some(PlainResource {
            version_info: std::str::from_utf8(version_info.unwrap_or_default()).ok()?,
            value: value.unwrap_or_default(),
        })
    }

    /// Checks the whole.
    ///
    /// # Errors
    /// [`DiscoveryFileError`], with everything that is wrong.
    pub fn resources(&self) -> Result<Resources, DiscoveryFileError> {
        let unreadable = |errors: &[ConfigError]| {
            DiscoveryFileError::Unreadable(self.document.diagnose_all(errors))
        };
        let rejected = |errors: &[ConfigError]| {
            DiscoveryFileError::Rejected(self.document.diagnose_all(errors))
        };
        let message = response_type().ok_or_else(|| unreadable(&[]))?;
        let mut wire = Cow::Borrowed(&self.wire);
        if self.rough {
            let (normal, errors) = normalise(message, &wire, &[]);
            if !errors.is_empty() {
                return Err(unreadable(&errors));
            }
            wire = Cow::Owned(normal);
        }
        let findings = check(message, &wire);
        if !findings.errors.is_empty() {
            return Err(rejected(&findings.errors));
        }
        let response = DiscoveryResponse::decode(wire.as_slice())
            .map_err(|error| unreadable(&[ConfigError::new("", error.to_string())]))?;
        let mut resources = response.resources;
        for (index, resource) in resources.iter_mut().enumerate() {
            if any::is::<Resource>(resource) {
                let wrapped = any::unpack::<Resource>(resource).map_err(|error| {
                    rejected(&[error.within(format_args!("resources[{index}]"))])
                })?;
                *resource = wrapped.resource.unwrap_or_default();
            }
        }
        Ok(Resources {
            version_info: response.version_info,
            resources,
        })
    }

    /// Finds the places of errors that were found later; their paths begin with `resources[…]`.
    pub fn diagnose(&self, errors: &[ConfigError]) -> Vec<Diagnostic> {
        self.document.diagnose_all(errors)
    }
}

fn response_type() -> Option<MessageType> {
    MessageType::find(&DiscoveryResponse::full_name())
}

/// A length-delimited field that is not there yet.
fn once<'a>(place: &mut Option<&'a [u8]>, value: WireValue<'a>) -> Option<()> {
    match (&place, value) {
        (None, WireValue::Bytes(bytes)) => *place = Some(bytes),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::endpoint::ClusterLoadAssignment;

    fn open(name: &str, text: impl AsRef<[u8]>) -> Result<DiscoveryFile, DiscoveryFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        DiscoveryFile::read(&path)
    }

    fn read(name: &str, text: &str) -> Result<Resources, DiscoveryFileError> {
        open(name, text)?.resources()
    }

    const TYPE: &str =
        r#""@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"#;

    fn names(file: &Resources) -> Vec<String> {
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
        let text = format!("resources:\n- {TYPE}\n  nonsense: 1\n  cluster_name: c\nmore: 1");
        let file = open("a.yaml", text).unwrap();
        let resources = file.resources().unwrap();
        assert_eq!(
            (names(&resources), file.unknown_fields),
            (vec!["c".to_owned()], 2)
        );
    }

    #[test]
    fn one_resource_is_found_without_decoding() {
        let assignment = any::pack(&ClusterLoadAssignment {
            cluster_name: "a".into(),
            ..Default::default()
        });
        let response = DiscoveryResponse {
            version_info: "v1".into(),
            resources: vec![assignment.clone()],
            ..Default::default()
        };
        let plain = |response: &DiscoveryResponse| {
            let file = open("a.pb", response.encode_to_vec()).unwrap();
            let plain = file.plain::<ClusterLoadAssignment>();
            plain.map(|plain| (plain.version_info.to_owned(), plain.value.to_vec()))
        };
        let expected = ("v1".to_owned(), assignment.value.clone());
        assert_eq!(plain(&response), Some(expected));
        let yaml = format!("version_info: v1\nresources:\n- {TYPE}\n  cluster_name: a\n");
        let file = open("a.yaml", yaml).unwrap();
        let value = file.plain::<ClusterLoadAssignment>().unwrap().value;
        assert_eq!(value, assignment.value);
        assert_eq!(file.plain::<Resource>(), None);
        let several = DiscoveryResponse {
            resources: vec![assignment.clone(), assignment.clone()],
            ..response.clone()
        };
        let unusual = DiscoveryResponse {
            nonce: "n".into(),
            ..response
        };
        assert_eq!((plain(&several), plain(&unusual)), (None, None));
        assert_eq!(plain(&DiscoveryResponse::default()), None);
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
