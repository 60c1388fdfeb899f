//! [`load_bootstrap`]: from the command line's `-c` and `--config-yaml` to a checked bootstrap.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::{
    ConfigError, Diagnostic, Document, Severity, StaticCluster,
    api::{bootstrap::Bootstrap, listener::Listener},
    check::check,
    check_name::decode_cluster,
    decode::{Doubt, Problem, decode},
    document::{Source, bootstrap_type},
    front::{Place, Syntax, parse},
    normalise::normalise,
    runtime,
    schema::MessageType,
    suspects::{Suspects, stand_in},
    wire::{self, WireValue},
};

/// Where the bootstrap comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `-c/--config-path`: `.yaml` and `.yml` are YAML, `.pb` is binary protobuf, `.pb_text` protobuf's
    /// text format, anything else is JSON, as Envoy tells them apart.
    pub config_path: Option<PathBuf>,
    /// `--config-yaml`, merged over the file: scalars replace, repeated fields append, messages merge.
    pub config_yaml: Option<String>,
    /// `--allow-unknown-static-fields`: unknown fields become warnings.
    pub allow_unknown: bool,
    /// Configuration types of third parties' extensions, which are no messages that this crate knows. They are written as
    /// `TypedStruct`, and reach their factory as an `Any` of that type URL that holds a `google.protobuf.Struct`.
    pub extension_types: Vec<String>,
}

/// A bootstrap that passed every check of this crate, or what is left of one that did not ([`Judgement`]).
#[derive(Debug, Default)]
pub struct LoadedBootstrap {
    /// The bootstrap in protobuf's wire format.
    pub raw: Bytes,
    /// Deprecated fields that are used, and unknown fields that were allowed.
    pub warnings: Vec<Diagnostic>,
    /// How many unknown fields were allowed (`server.static_unknown_fields`).
    pub unknown_fields: usize,
    /// To find the place of later errors; drop it when start-up is over.
    pub document: Document,
    /// Parts in which something is wrong.
    suspects: Suspects,
}

const STATIC_RESOURCES: u32 = 2;
const LISTENERS: u32 = 1;
const CLUSTERS: u32 = 2;

impl LoadedBootstrap {
    /// Everything except `static_resources.listeners` and `static_resources.clusters`, which are left empty: read
    /// those one at a time with [`Self::listeners`] and [`Self::clusters`], since ten thousand decoded
    /// clusters need many times the memory of what is made of them.
    pub fn bootstrap(&self) -> Bootstrap {
        let mut rest = Vec::new();
        for field in wire::fields(&self.raw).flatten() {
            if field.number != STATIC_RESOURCES {
                wire::put_field(&mut rest, field);
                continue;
            }
            wire::put_nested(&mut rest, STATIC_RESOURCES, |out| {
                for field in wire::fields(field.value.bytes()).flatten() {
                    if field.number != LISTENERS && field.number != CLUSTERS {
                        wire::put_field(out, field);
                    }
                }
            });
        }
        Bootstrap::decode(rest.as_slice()).unwrap_or_default()
    }

    /// The static listeners, decoded one at a time; the index is that of the path
    /// `static_resources.listeners[index]`. Those in which something is wrong are left out.
    pub fn listeners(&self) -> impl Iterator<Item = (usize, Listener)> + '_ {
        self.resources(LISTENERS, |bytes: &[u8]| Listener::decode(bytes))
            .filter(|(index, _)| !self.suspects.listener(*index))
    }

    /// The static clusters, decoded one at a time, by each clone of the iterator anew. For one in which something is wrong stands
    /// an empty one of its name, so that routes find it.
    pub fn clusters(&self) -> impl Iterator<Item = StaticCluster> + Clone + '_ {
        let decode = |bytes: &[u8]| {
            let wire = self.raw.slice_ref(bytes);
            decode_cluster(bytes).map(|cluster| (cluster, wire))
        };
        self.resources(CLUSTERS, decode)
            .map(
                |(index, (cluster, wire))| match self.suspects.cluster(index) {
                    true => (index, stand_in(cluster)).into(),
                    false => StaticCluster {
                        index,
                        cluster,
                        wire,
                    },
                },
            )
    }

    /// Whether an error at this path may be only the consequence of one that is known.
    pub fn is_suspect(&self, path: &str) -> bool {
        self.suspects.covers(path)
    }

    /// Whether it is known which clusters there are to be: those in which something is wrong may have lost their names.
    pub fn names_all_clusters(&self) -> bool {
        self.suspects.is_empty()
            || self
                .resources(CLUSTERS, decode_cluster)
                .all(|(_, cluster)| !cluster.name.is_empty())
    }

    fn resources<M: Default>(
        &self,
        number: u32,
        decode: impl Fn(&[u8]) -> Result<M, DecodeError> + Clone,
    ) -> impl Iterator<Item = (usize, M)> + Clone {
        let resources = wire::find(&self.raw, STATIC_RESOURCES).map_or(&[][..], WireValue::bytes);
        let encoded = wire::fields(resources)
            .flatten()
            .filter(move |f| f.number == number);
        // `load_bootstrap` has seen that the whole decodes.
        encoded
            .map(move |f| decode(f.value.bytes()).unwrap_or_default())
            .enumerate()
    }

    /// The whole bootstrap decoded at once (tests, tools; large configurations should prefer the iterators).
    pub fn whole(&self) -> Bootstrap {
        Bootstrap::decode(&*self.raw).unwrap_or_default()
    }

    /// Finds the place of a later error.
    pub fn diagnose(&self, error: &ConfigError) -> Diagnostic {
        self.document.diagnose(error)
    }
}

/// Reads, merges and checks the bootstrap.
///
/// # Errors
/// Every error at once, in the order of their places. Errors of syntax hide those of meaning, and what cannot be decoded
/// hides what might only be its consequence. Where two sources are merged, both must decode before the whole is judged.
pub fn load_bootstrap(sources: &Sources) -> Result<LoadedBootstrap, Vec<Diagnostic>> {
    match judge_bootstrap(sources) {
        Judgement {
            loaded: Some(loaded),
            errors,
        } if errors.is_empty() => Ok(loaded),
        Judgement { errors, .. } => Err(errors),
    }
}

/// What [`judge_bootstrap`] has found.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Everything that is wrong, in the order of places; empty for a good bootstrap.
    pub errors: Vec<Diagnostic>,
    /// The bootstrap. With errors: what is left of it, so that those who convert it can add what they find wrong with the
    /// rest, outside of what [`LoadedBootstrap::is_suspect`]; it is not fit to be served. Absent when nothing more can be said.
    pub loaded: Option<LoadedBootstrap>,
}

/// [`load_bootstrap`] for those who want to know all that is wrong.
pub fn judge_bootstrap(sources: &Sources) -> Judgement {
    let mut loader = Loader {
        allow_unknown: sources.allow_unknown,
        extension_types: sources
            .extension_types
            .iter()
            .filter(|name| MessageType::find(name).is_none())
            .cloned()
            .collect(),
        ..Loader::default()
    };
    if let Some(path) = &sources.config_path {
        loader.file(path);
    }
    if let Some(yaml) = &sources.config_yaml {
        loader.text("--config-yaml".into(), yaml.clone(), Syntax::Yaml);
    }
    if sources.config_path.is_none() && sources.config_yaml.is_none() {
        loader.fail(
            String::new(),
            "At least one of --config-path or --config-yaml or Options::configProto() should be non-empty",
        );
    }
    loader.finish()
}

#[derive(Default)]
pub(crate) struct Loader {
    /// What the texts are; the bootstrap unless told.
    pub(crate) message: Option<MessageType>,
    pub(crate) allow_unknown: bool,
    extension_types: Vec<String>,
    pub(crate) document: Document,
    /// The concatenated encodings.
    pub(crate) wire: Vec<u8>,
    /// `wire` is not in normal form.
    pub(crate) rough: bool,
    pub(crate) errors: Vec<Diagnostic>,
    /// Some source could not be read at all.
    unreadable: bool,
    /// What the errors of decoding leave in the dark.
    doubts: Vec<Doubt>,
    warnings: Vec<Diagnostic>,
    pub(crate) unknown_fields: usize,
}

impl Loader {
    fn message(&self) -> Option<MessageType> {
        self.message.or_else(bootstrap_type)
    }

    fn fail(&mut self, name: String, message: impl Into<String>) {
        self.unreadable = true;
        let problem = Problem {
            place: Place { line: 0, column: 0 },
            path: String::new(),
            message: message.into(),
            expected: None,
            suggestion: None,
        };
        self.errors
            .push(Source::new(name, "", None).diagnostic(problem));
    }

    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return self.fail(name.clone(), format!("Invalid path: {name}"));
            }
            Err(e) => return self.fail(name.clone(), format!("unable to read file: {name}: {e}")),
        };
        let extension = path
            .extension()
            .map(|e| e.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let syntax = match extension.as_str() {
            "pb" => return self.binary(name, bytes),
            "pb_text" => Syntax::Text,
            "yaml" | "yml" => Syntax::Yaml,
            _ => Syntax::Json,
        };
        if syntax == Syntax::Yaml {
            return self.text(name, yaml_text(bytes), syntax);
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.text(name, text, syntax),
            Err(e) => {
                let good = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
                let line = good.matches('\n').count() + 1;
                self.fail(name, format!("line {line} is not valid UTF-8"));
            }
        }
    }

    fn binary(&mut self, name: String, bytes: Vec<u8>) {
        self.wire.extend_from_slice(&bytes);
        self.rough = true;
        self.document.sources.push(Source::new(name, "", None));
    }

    fn text(&mut self, name: String, text: String, syntax: Syntax) {
        let source = Source::new(name, text, Some(syntax));
        let Some(message) = self.message() else {
            return;
        };
        match parse(syntax, &source.text) {
            Err(error) => {
                let problem = Problem {
                    place: error.place,
                    path: String::new(),
                    message: error.message,
                    expected: None,
                    suggestion: None,
                };
                self.unreadable = true;
                self.errors.push(source.diagnostic(problem));
            }
            Ok(tree) => {
                let decoded = decode(
                    message,
                    tree.root(),
                    syntax,
                    self.allow_unknown,
                    &self.extension_types,
                );
                self.errors.extend(
                    decoded
                        .errors
                        .into_iter()
                        .map(|problem| source.diagnostic(problem)),
                );
                self.doubts.extend(decoded.doubts);
                self.unknown_fields += decoded.unknown.len();
                self.warnings.extend(
                    decoded
                        .unknown
                        .into_iter()
                        .map(|problem| source.diagnostic(problem)),
                );
                self.rough |= decoded.repeats || !self.wire.is_empty();
                if self.wire.is_empty() {
                    self.wire = decoded.wire;
                } else {
                    self.wire.extend_from_slice(&decoded.wire);
                }
            }
        }
        self.document.sources.push(source);
    }

    fn finish(mut self) -> Judgement {
        let hopeless = self.unreadable || (self.rough && !self.errors.is_empty());
        let Some(message) = self.message().filter(|_| !hopeless) else {
            return refused(self.errors);
        };
        if !self.errors.is_empty() {
            let mut others = check(message, &self.wire).errors;
            // What the errors of decoding leave in the dark is not wrong for certain.
            others.retain(|error| !self.doubts.iter().any(|doubt| doubt.covers(&error.path)));
            return self.part(others);
        }
        if self.rough {
            let (normal, errors) = normalise(message, &self.wire, &self.extension_types);
            if !errors.is_empty() {
                return refused(self.document.diagnose_all(&errors));
            }
            self.wire = normal;
        }
        let mut findings = check(message, &self.wire);
        let loaded = LoadedBootstrap {
            raw: std::mem::take(&mut self.wire).into(),
            ..LoadedBootstrap::default()
        };
        findings.errors.extend(runtime::check(&loaded.bootstrap()));
        if !findings.errors.is_empty() {
            self.wire = loaded.raw.into();
            return self.part(findings.errors);
        }
        if !findings.warnings.is_empty() {
            self.warnings
                .extend(self.document.diagnose_all(&findings.warnings));
        }
        for warning in &mut self.warnings {
            warning.severity = Severity::Warning;
        }
        Judgement {
            errors: Vec::new(),
            loaded: Some(LoadedBootstrap {
                warnings: self.warnings,
                unknown_fields: self.unknown_fields,
                document: self.document,
                ..loaded
            }),
        }
    }

    /// A bootstrap with these errors besides those of decoding, and what is left of it.
    fn part(self, others: Vec<ConfigError>) -> Judgement {
        let mut errors = self.errors;
        errors.extend(self.document.diagnose_all(&others));
        errors.sort_by_key(|error| (error.line, error.column));
        let paths = errors.iter().map(|error| error.path.as_str());
        let Some(suspects) = Suspects::of(paths) else {
            return refused(errors);
        };
        Judgement {
            errors,
            loaded: Some(LoadedBootstrap {
                raw: self.wire.into(),
                document: self.document,
                suspects,
                ..LoadedBootstrap::default()
            }),
        }
    }
}

/// YAML as text: UTF-16 if a byte order mark says so, otherwise UTF-8; like Envoy's parser it puts up with anything else
/// (which is mostly found in comments) and shows it as U+FFFD.
fn yaml_text(bytes: Vec<u8>) -> String {
    let (read, rest): (fn([u8; 2]) -> u16, _) = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => (u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => (u16::from_be_bytes, rest),
        _ => {
            return String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        }
    };
    let units = rest.as_chunks::<2>().0.iter().map(|unit| read(*unit));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// Nothing more can be said.
fn refused(errors: Vec<Diagnostic>) -> Judgement {
    Judgement {
        errors,
        loaded: None,
    }
}

/// The body of the fuzz target `config_load`: the first byte chooses the syntax, the rest is the text. Never panics, and what
/// is accepted decodes.
pub fn fuzz_one(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let mut loader = Loader {
        allow_unknown: kind & 4 != 0,
        ..Loader::default()
    };
    match (kind & 3, std::str::from_utf8(rest)) {
        (0, Ok(text)) => loader.text("fuzz.json".into(), text.into(), Syntax::Json),
        (1, Ok(text)) => loader.text("fuzz.yaml".into(), text.into(), Syntax::Yaml),
        (2, Ok(text)) => loader.text("fuzz.pb_text".into(), text.into(), Syntax::Text),
        _ => loader.binary("fuzz.pb".into(), rest.to_vec()),
    }
    let Judgement { errors, loaded } = loader.finish();
    assert!(errors.iter().all(|e| !e.to_string().is_empty()));
    if let Some(loaded) = loaded {
        let decodes = Bootstrap::decode(&*loaded.raw).is_ok();
        assert!(
            decodes || !errors.is_empty(),
            "accepted, but does not decode"
        );
        let _ = (loaded.listeners().count(), loaded.clusters().count());
        let _ = loaded
            .diagnose(&ConfigError::new("static_resources.clusters[0].name", "x"))
            .to_string();
    }
}
