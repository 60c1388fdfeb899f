//! `google.protobuf.FieldMask` applied to encoded messages, as `/config_dump?mask=…` needs it.

use std::collections::BTreeMap;

use crate::{
    any::type_name,
    schema::MessageType,
    wire::{self, WireValue},
};

/// Which fields to keep: an empty tree keeps everything.
#[derive(Default)]
struct Tree(BTreeMap<String, Tree>);

/// Keeps only the fields of `encoded` (a message with the full name `message`) that `paths` name (`bootstrap.node.id`).
///
/// A path may lead into an `Any`, whose type is kept. As in protobuf, a path cannot lead through a repeated field.
///
/// # Errors
/// When a path names no field of the message; the text is for the operator.
pub fn apply(message: &str, encoded: &[u8], paths: &[&str]) -> Result<Vec<u8>, String> {
    let unusable =
        |path: &str| format!("FieldMask paths: \"{path}\" could not be successfully used.");
    let root = MessageType::find(message).ok_or_else(|| unusable(&paths.join(",")))?;
    let mut tree = Tree::default();
    for path in paths {
        let mut node = &mut tree;
        for step in path.split('.') {
            node = node.0.entry(step.to_owned()).or_default();
        }
    }
    trim(root, encoded, &tree, 0).map_err(|step| {
        unusable(
            paths
                .iter()
                .find(|p| p.split('.').any(|s| s == step))
                .copied()
                .unwrap_or(&step),
        )
    })
}

/// The message without what `tree` does not name; fails with the step that is no field.
fn trim(
    message: MessageType,
    encoded: &[u8],
    tree: &Tree,
    depth: usize,
) -> Result<Vec<u8>, String> {
    const MAX_DEPTH: usize = 100;
    for (name, below) in &tree.0 {
        let field = message.fields().find(|f| f.name() == name);
        let passable = field
            .is_some_and(|f| below.0.is_empty() || (f.message().is_some() && !f.is_repeated()));
        if !passable || depth > MAX_DEPTH {
            return Err(name.clone());
        }
    }
    let mut out = Vec::new();
    for field in wire::fields(encoded).flatten() {
        let Some(known) = message.field_by_number(field.number) else {
            continue;
        };
        let Some(below) = tree.0.get(known.name()) else {
            continue;
        };
        match known.message() {
            Some(inner) if !below.0.is_empty() => {
                let kept = if inner.name() == "google.protobuf.Any" {
                    trim_any(field.value.bytes(), below, depth)?
                } else {
                    trim(inner, field.value.bytes(), below, depth + 1)?
                };
                wire::put_bytes(&mut out, field.number, &kept);
            }
            _ => wire::put_field(&mut out, field),
        }
    }
    Ok(out)
}

fn trim_any(encoded: &[u8], tree: &Tree, depth: usize) -> Result<Vec<u8>, String> {
    let part = |number| wire::find(encoded, number).map_or(&[][..], WireValue::bytes);
    let url = part(1);
    let inner = MessageType::find(type_name(std::str::from_utf8(url).unwrap_or_default()));
    let inner = inner.ok_or_else(|| tree.0.keys().next().cloned().unwrap_or_default())?;
    let mut out = Vec::new();
    wire::put_bytes(&mut out, 1, url);
    wire::put_bytes(&mut out, 2, &trim(inner, part(2), tree, depth + 1)?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::{
        any,
        api::{admin::clusters_config_dump::StaticCluster, cluster::Cluster, protobuf::Timestamp},
        json::{self, Style},
    };

    const NAME: &str = "envoy.admin.v3.ClustersConfigDump.StaticCluster";

    fn dump() -> Vec<u8> {
        let cluster = Cluster {
            name: "c".into(),
            alt_stat_name: "x".into(),
            ..Default::default()
        };
        let last_updated = Some(Timestamp {
            seconds: 1,
            nanos: 0,
        });
        StaticCluster {
            cluster: Some(any::pack(&cluster)),
            last_updated,
        }
        .encode_to_vec()
    }

    #[test]
    fn keeps_what_is_named() {
        let kept = apply(NAME, &dump(), &["cluster.name"]).unwrap();
        assert_eq!(
            json::print(NAME, &kept, Style::default()),
            r#"{"cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"c"}}"#
        );
        assert_eq!(
            apply(NAME, &dump(), &["cluster", "last_updated"]).unwrap(),
            dump()
        );
    }

    #[test]
    fn refuses_what_is_no_field() {
        for path in [
            "nope",
            "cluster.nope",
            "cluster.load_assignment.endpoints.lb_endpoints",
            "last_updated.seconds.x",
        ] {
            let encoded = {
                let cluster = Cluster {
                    load_assignment: Some(Default::default()),
                    ..Default::default()
                };
                StaticCluster {
                    cluster: Some(any::pack(&cluster)),
                    ..Default::default()
                }
                .encode_to_vec()
            };
            if path.starts_with("last_updated") {
                assert!(apply(NAME, &dump(), &[path]).is_err());
            } else {
                assert_eq!(
                    apply(NAME, &encoded, &[path]).unwrap_err(),
                    format!("FieldMask paths: \"{path}\" could not be successfully used.")
                );
            }
        }
    }
}
