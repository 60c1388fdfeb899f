//! `json_format`

use nuncio_config::api::protobuf::{Struct, Value, value::Kind};
use nuncio_config::{ConfigError, Within};
use nuncio_sdk::LogContext;

use super::operator::Written;
use super::{Extensions, MISSING, Part, parse, value};

/// Entries by key; keys are quoted, escaped and followed by their colon.
type Entries = Box<[(Box<[u8]>, Node)]>;

/// A compiled JSON template.
#[derive(Debug)]
pub(super) struct Json {
    root: Entries,
    omit_empty: bool,
}

#[derive(Debug)]
enum Node {
    /// JSON text that is the same in every line.
    Constant(Box<[u8]>),
    Template(Box<[Part]>),
    Object(Entries),
    Array(Box<[Node]>),
}

impl Json {
    pub(super) fn compile(
        template: &Struct,
        omit_empty: bool,
        extensions: Extensions,
    ) -> Result<Json, ConfigError> {
        Ok(Json {
            root: Compiler {
                omit_empty,
                extensions,
            }
            .object(template)?,
            omit_empty,
        })
    }

    /// Appends one line.
    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) {
        if !self.write_object(&self.root, cx, out) {
            out.extend_from_slice(b"{}");
        }
        out.push(b'\n');
    }

    /// Whether anything is left of the object; if not, nothing was appended.
    fn write_object(
        &self,
        fields: &[(Box<[u8]>, Node)],
        cx: &LogContext<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        out.push(b'{');
        let mut empty = true;
        for (key, node) in fields {
            let field = out.len();
            if !empty {
                out.push(b',');
            }
            out.extend_from_slice(key);
            if self.write_node(node, cx, out) {
                empty = false;
            } else {
                out.truncate(field);
            }
        }
        if empty && self.omit_empty {
            out.truncate(start);
            return false;
        }
        out.push(b'}');
        true
    }

    fn write_node(&self, node: &Node, cx: &LogContext<'_>, out: &mut Vec<u8>) -> bool {
        match node {
            Node::Constant(text) => out.extend_from_slice(text),
            Node::Template(parts) => return self.write_template(parts, cx, out),
            Node::Object(fields) => return self.write_object(fields, cx, out),
            Node::Array(nodes) => {
                out.push(b'[');
                let mut empty = true;
                for node in nodes {
                    let element = out.len();
                    if !empty {
                        out.push(b',');
                    }
                    if self.write_node(node, cx, out) {
                        empty = false;
                    } else {
                        out.truncate(element);
                    }
                }
                out.push(b']');
            }
        }
        true
    }

    fn write_template(&self, parts: &[Part], cx: &LogContext<'_>, out: &mut Vec<u8>) -> bool {
        if let [Part::Operator(operator)] = parts {
            let quote = out.len();
            out.push(b'"');
            match operator.write_as(cx, out, true) {
                Written::Text => {
                    value::escape_from(out, quote + 1);
                    out.push(b'"');
                }
                Written::Json => {
                    out.remove(quote);
                }
                Written::Nothing => {
                    out.truncate(quote);
                    if self.omit_empty {
                        return false;
                    }
                    out.extend_from_slice(b"null");
                }
            }
            return true;
        }
        out.push(b'"');
        for part in parts {
            let start = out.len();
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Operator(operator) => {
                    if operator.write(cx, out) == Written::Nothing && !self.omit_empty {
                        out.extend_from_slice(MISSING);
                    }
                }
            }
            // Piece by piece: a value that is not UTF-8 must not change how the others are shown.
            value::escape_from(out, start);
        }
        out.push(b'"');
        true
    }
}

/// What holds for every level of a template.
#[derive(Clone, Copy)]
struct Compiler {
    omit_empty: bool,
    extensions: Extensions,
}

impl Compiler {
    fn object(self, template: &Struct) -> Result<Entries, ConfigError> {
        let mut fields: Vec<_> = template
            .fields
            .iter()
            .filter(|(_, value)| self.keeps(value))
            .collect();
        fields.sort_unstable_by_key(|(key, _)| key.as_bytes());
        let compiled = fields.into_iter().map(|(key, value)| {
            let mut quoted = Vec::new();
            value::write_string(key.as_bytes(), &mut quoted);
            quoted.push(b':');
            Ok((quoted.into(), self.node(value).within(key)?))
        });
        compiled.collect()
    }

    fn node(self, template: &Value) -> Result<Node, ConfigError> {
        match &template.kind {
            Some(Kind::StringValue(text)) if text.contains('%') => {
                parse::parse(text, self.extensions).map(Node::Template)
            }
            Some(Kind::StructValue(inner)) => self.object(inner).map(Node::Object),
            Some(Kind::ListValue(list)) => {
                let values = list
                    .values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| self.keeps(value));
                let nodes = values.map(|(index, value)| {
                    self.node(value)
                        .map_err(|e| e.within(format_args!("[{index}]")))
                });
                nodes.collect::<Result<_, _>>().map(Node::Array)
            }
            _ => {
                let mut text = Vec::new();
                value::write_value(template, &mut text);
                Ok(Node::Constant(text.into()))
            }
        }
    }

    /// Nulls are left out like missing values.
    fn keeps(self, value: &Value) -> bool {
        !self.omit_empty || !matches!(value.kind, None | Some(Kind::NullValue(_)))
    }
}
