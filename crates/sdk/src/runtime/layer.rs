//! The layers of the runtime (`LayeredRuntime`), and what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nuncio_config::api::bootstrap::runtime_layer::{DiskLayer, LayerSpecifier};
use nuncio_config::api::bootstrap::{LayeredRuntime, RuntimeLayer};
use nuncio_config::api::protobuf::{Struct, Value, value::Kind};
use nuncio_config::yaml_value;

use super::Entry;
use super::entry::is_value;

/// Values by name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// Where the values of a layer come from.
#[derive(Debug)]
pub(super) enum Source {
    /// They never change.
    Static(Entries),
    /// `/runtime_modify`
    Admin,
    Disk(Disk),
}

/// A directory whose files are values (`DiskLayer`).
#[derive(Debug)]
pub(super) struct Disk {
    /// A symbolic link; when another takes its place, everything is read again.
    pub(super) root: PathBuf,
    directory: PathBuf,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: String,
    pub(super) source: Source,
}

/// The layers of a configuration. `cluster`: that of this proxy (`append_service_cluster`). What is wrong with them was found
/// when the bootstrap was loaded.
pub(super) fn layers(config: Option<LayeredRuntime>, cluster: &str) -> Box<[Layer]> {
    let Some(LayeredRuntime { mut layers }) = config else {
        return Box::default();
    };
    if layers.is_empty() {
        // Envoy's default.
        layers.push(RuntimeLayer {
            name: String::new(),
            layer_specifier: Some(LayerSpecifier::AdminLayer(Default::default())),
        });
    }
    let layer = |RuntimeLayer {
                     name,
                     layer_specifier,
                 }| {
        let source = match layer_specifier? {
            LayerSpecifier::StaticLayer(values) => {
                let mut entries = Entries::new();
                flatten("", &values, &mut entries);
                Source::Static(entries)
            }
            LayerSpecifier::AdminLayer(_) => Source::Admin,
            LayerSpecifier::DiskLayer(config) => Source::Disk(Disk::new(config, cluster)),
            // Refused when the bootstrap was loaded.
            LayerSpecifier::RtdsLayer(_) => return None,
        };
        Some(Layer { name, source })
    };
    layers.into_iter().filter_map(layer).collect()
}

/// Names of nested values are joined by dots.
fn flatten(prefix: &str, message: &Struct, entries: &mut Entries) {
    for (name, value) in &message.fields {
        let name = format!("{prefix}{name}");
        match &value.kind {
            Some(Kind::StructValue(nested)) if !is_value(nested) => {
                flatten(&format!("{name}."), nested, entries);
            }
            _ => _ = entries.insert(name, Entry::new(value, None)),
        }
    }
}

/// Reads what an operator or a file has written; the text itself is shown.
pub(super) fn read(text: &str) -> Result<Entry, String> {
    let value = match text.trim().is_empty() {
        true => Value::default(),
        false => yaml_value(text)?,
    };
    Ok(Entry::new(&value, Some(text)))
}

/// Directories in directories, as deep as Envoy goes.
const MAX_DEPTH: u32 = 16;
/// Most bytes of a file with a value.
const MAX_FILE: u64 = 1024 * 1024;

impl Disk {
    fn new(config: DiskLayer, cluster: &str) -> Self {
        let DiskLayer {
            symlink_root,
            subdirectory,
            append_service_cluster,
        } = config;
        let root = PathBuf::from(&symlink_root);
        let mut directory = root.join(subdirectory.trim_start_matches('/'));
        if append_service_cluster {
            directory.push(cluster);
        }
        Self { root, directory }
    }

    /// The values that are there now; `None` without the directory.
    ///
    /// # Errors
    /// Something cannot be read, or is no value.
    pub(super) fn load(&self) -> io::Result<Option<Entries>> {
        if !self.directory.is_dir() {
            return Ok(None);
        }
        let mut entries = Entries::new();
        walk(&self.directory, "", 1, &mut entries)?;
        Ok(Some(entries))
    }
}

fn walk(directory: &Path, prefix: &str, depth: u32, entries: &mut Entries) -> io::Result<()> {
    let wrong = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    if depth > MAX_DEPTH {
        return Err(wrong(format!(
            "more than {MAX_DEPTH} levels of directories"
        )));
    }
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = match prefix.is_empty() {
            true => name.into_owned(),
            false => format!("{prefix}.{name}"),
        };
        let facts = fs::metadata(&path)?;
        if facts.is_dir() {
            walk(&path, &name, depth + 1, entries)?;
        } else if facts.is_file() {
            if facts.len() > MAX_FILE {
                return Err(wrong(format!("{} is too large", path.display())));
            }
            let text = fs::read_to_string(&path)?;
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let text = lines.collect::<Vec<_>>().join("\n");
            entries.insert(name, read(text.trim_end()).map_err(wrong)?);
        }
    }
    Ok(())
}
