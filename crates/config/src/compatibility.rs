//! COMPATIBILITY.md, written from the field support table and the schema.

use std::fmt::Write;

use crate::{
    schema::{FieldType, MessageType},
    support::{Support, entries},
};

/// The text of COMPATIBILITY.md's generated part: for each message that Nuncio reads, its fields that are implemented,
/// those that are harmless (with the reason), and those that are refused when set.
pub fn render_compatibility() -> String {
    let mut out = String::from(
        "## Configuration, field by field\n\n\
         Generated from the field support table by `cargo xtask compat`; do not edit.\n\n\
         A field that is **refused** stops the start with an error that names its place; nothing is silently ignored. \
         A **harmless** field is accepted, and that it has no effect cannot be noticed, for the reason given. \
         A message that is not listed is refused as a whole.\n",
    );
    let (mut done, mut all) = (0, 0);
    for entry in entries() {
        let Some(message) = MessageType::find(entry.name) else {
            continue;
        };
        let of = |field: FieldType| {
            entry
                .fields
                .iter()
                .find(|(name, _)| *name == field.name())
                .map(|(_, support)| *support)
        };
        let (mut implemented, mut harmless, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for field in message.fields() {
            let name = field.name();
            match of(field) {
                Some(Support::Implemented) => implemented.push(format!("`{name}`")),
                Some(Support::Only(values)) => {
                    implemented.push(format!("`{name}` ({} only)", values.join(", ")))
                }
                Some(Support::Extension(payloads)) => {
                    let short: Vec<_> = payloads.iter().map(|p| format!("`{p}`")).collect();
                    implemented.push(format!("`{name}` ({})", short.join(", ")));
                }
                Some(Support::Harmless(reason)) => harmless.push(format!("`{name}`: {reason}")),
                Some(Support::Refused(remedy)) if !remedy.is_empty() => {
                    refused.push(format!("`{name}` ({remedy})"))
                }
                Some(Support::Refused(_)) | None => refused.push(format!("`{name}`")),
            }
        }
        done += implemented.len() + harmless.len();
        all += message.field_count();
        // Writing to a String does not fail.
        let _ = write!(out, "\n### {}\n\n", entry.name);
        if message.field_count() == 0 {
            out.push_str("No fields.\n");
        }
        if !implemented.is_empty() {
            let _ = writeln!(out, "- Implemented: {}", implemented.join(", "));
        }
        for line in harmless {
            let _ = writeln!(out, "- Harmless: {line}");
        }
        if !refused.is_empty() {
            let _ = writeln!(out, "- Refused: {}", refused.join(", "));
        }
    }
    let _ = write!(
        out,
        "\n{done} of the {all} fields of these messages are accepted.\n"
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_three_kinds_apart() {
        let text = render_compatibility();
        assert!(text.contains("### envoy.config.cluster.v3.Cluster\n"));
        assert!(text.contains("`protocol` (TCP only)"));
        assert!(text.contains(
            "- Harmless: `set_local_interface_name_on_upstream_connections`: nothing shows"
        ));
        assert!(text.contains("`lrs_server`"));
        assert!(
            !text.contains("  "),
            "two blanks would look different in diffs"
        );
    }
}
