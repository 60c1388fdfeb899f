//! [`Document`]: the texts a configuration was read from, kept so that errors find their place.

use std::cell::OnceCell;

use crate::{
    ConfigError, Diagnostic, Severity,
    decode::Problem,
    front::{Content, Place, Syntax, Value, parse},
    path::{self, Segment},
    schema::MessageType,
};

/// The texts a configuration was read from: the file and `--config-yaml`.
///
/// Holds the source texts only; a place is found by parsing them again, which only an error pays for. Drop it
/// once start-up is over.
#[derive(Debug, Default)]
pub struct Document {
    pub(crate) sources: Vec<Source>,
}

/// One text.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file's name, or `--config-yaml`.
    pub(crate) name: String,
    pub(crate) text: String,
    /// None for a binary file, in which nothing has a place.
    pub(crate) syntax: Option<Syntax>,
    /// Offsets of the lines, once a line was asked for.
    lines: OnceCell<Vec<usize>>,
}

impl Source {
    pub(crate) fn new(
        name: impl Into<String>,
        text: impl Into<String>,
        syntax: Option<Syntax>,
    ) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            syntax,
            lines: OnceCell::new(),
        }
    }

    /// The text of line `number`, which counts from 1.
    fn line(&self, number: u32) -> Option<&str> {
        let starts = self.lines.get_or_init(|| {
            let after_breaks = self
                .text
                .bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(i, _)| i + 1);
            std::iter::once(0).chain(after_breaks).collect()
        });
        let start = *starts.get((number as usize).checked_sub(1)?)?;
        self.text[start..].lines().next()
    }

    /// A diagnostic at a known place of this text.
    pub(crate) fn diagnostic(&self, problem: Problem) -> Diagnostic {
        let Problem {
            place,
            path,
            message,
            expected,
            suggestion,
        } = problem;
        let line = self.line(place.line);
        Diagnostic {
            severity: Severity::Error,
            file: self.name.clone(),
            line: place.line,
            column: place.column,
            path,
            message,
            expected,
            suggestion,
            source_line: line.map(shorten),
        }
    }
}

/// No more of a line than can be shown: a JSON file may be a single line of megabytes.
fn shorten(line: &str) -> String {
    const LONGEST: usize = 1 << 16;
    line.chars().take(LONGEST).collect()
}

impl Document {
    /// Finds the place of `error` and makes it printable. An absent field is shown at the message that should hold it.
    pub fn diagnose(&self, error: &ConfigError) -> Diagnostic {
        self.diagnose_all(std::slice::from_ref(error)).remove(0)
    }

    /// [`Self::diagnose`] for many errors, in the order of their places; each text is parsed once.
    pub fn diagnose_all(&self, errors: &[ConfigError]) -> Vec<Diagnostic> {
        let trees: Vec<_> = self
            .sources
            .iter()
            .map(|s| s.syntax.and_then(|syntax| parse(syntax, &s.text).ok()))
            .collect();
        let roots: Vec<(usize, Value<'_>)> = trees
            .iter()
            .enumerate()
            .filter_map(|(i, tree)| Some((i, tree.as_ref()?.root())))
            .collect();
        let is_text = |source: usize| {
            let source = self.sources.get(source);
            source.is_some_and(|source| source.syntax == Some(Syntax::Text))
        };
        let mut found: Vec<(usize, Diagnostic)> = errors
            .iter()
            .map(|error| {
                let place = locate(&roots, &path::parse(&error.path), &is_text);
                let (source, place) = place.unwrap_or((0, Place { line: 0, column: 0 }));
                let problem = Problem {
                    place,
                    path: error.path.clone(),
                    message: error.message.clone(),
                    expected: None,
                    suggestion: error.remedy.clone(),
                };
                let diagnostic = match self.sources.get(source) {
                    Some(source) => source.diagnostic(problem),
                    None => Source::new("", "", None).diagnostic(problem),
                };
                (source, diagnostic)
            })
            .collect();
        found.sort_by_key(|(source, d)| (*source, d.line, d.column));
        found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }
}

/// Follows `segments` from `roots`, which are merged with one another: the last one that has the next step decides, and the
/// elements of a list are those of all of them, one after the other.
///
/// Gives the place of the deepest step that exists: of its key, where it has one.
fn locate(
    roots: &[(usize, Value<'_>)],
    segments: &[Segment],
    is_text: &dyn Fn(usize) -> bool,
) -> Option<(usize, Place)> {
    let mut candidates: Vec<(usize, Value<'_>)> = roots.to_vec();
    let mut best = candidates
        .last()
        .map(|(source, value)| (*source, value.place()));
    let mut rest = segments.iter().peekable();
    while let Some(segment) = rest.next() {
        let next: Vec<(usize, Place, Value<'_>)> = match segment {
            Segment::Field(name) => candidates
                .iter()
                .flat_map(|(s, v)| {
                    match is_text(*s) {
                        true => text_fields(*v, name),
                        false => Vec::from_iter(field(*v, name)),
                    }
                    .into_iter()
                    .map(|(k, v)| (*s, k.place(), v))
                })
                .collect(),
            Segment::Key(key) => candidates
                .iter()
                .filter_map(|(s, v)| {
                    match is_text(*s) {
                        true => text_entry(*v, key),
                        false => v.get(key),
                    }
                    .map(|(k, v)| (*s, k.place(), v))
                })
                .collect(),
            Segment::Index(index) => {
                let mut elements = Vec::new();
                for (source, value) in &candidates {
                    flatten(*source, *value, &mut elements);
                }
                elements
                    .into_iter()
                    .nth(*index)
                    .map(|(s, v)| (s, v.place(), v))
                    .into_iter()
                    .collect()
            }
        };
        let Some((source, place, value)) = next.last() else {
            break;
        };
        // The value itself is the better place, unless it is a container that starts on a later line.
        let last = rest.peek().is_none();
        let at_value = last && !matches!(value.content(), Content::Map(_) | Content::List(_));
        best = Some((*source, if at_value { value.place() } else { *place }));
        candidates = next
            .into_iter()
            .map(|(source, _, value)| (source, value))
            .collect();
    }
    best
}

/// The entry of a message's field, under either of its names; a `TypedStruct` is looked through.
fn field<'t>(value: Value<'t>, name: &str) -> Option<(Value<'t>, Value<'t>)> {
    let direct = value.get(name).or_else(|| value.get(&camel_case(name)));
    direct.or_else(|| {
        value.get("@type")?;
        let (_, inner) = value.get("value")?;
        inner.get(name).or_else(|| inner.get(&camel_case(name)))
    })
}

/// All entries of a field in the text format, where elements may each stand for themselves; an expanded `Any` is looked
/// through.
fn text_fields<'t>(value: Value<'t>, name: &str) -> Vec<(Value<'t>, Value<'t>)> {
    let Content::Map(mut entries) = value.content() else {
        return Vec::new();
    };
    let expanded = entries
        .clone()
        .find(|(key, _)| key.as_str().is_some_and(|key| key.starts_with('[')));
    match expanded {
        Some((_, inner)) => text_fields(inner, name),
        None => entries
            .by_ref()
            .filter(|(key, _)| key.as_str() == Some(name))
            .collect(),
    }
}

/// The key and the value of a map's entry in the text format, if this is the one.
fn text_entry<'t>(entry: Value<'t>, key: &str) -> Option<(Value<'t>, Value<'t>)> {
    let (_, name) = entry.get("key")?;
    let same = match name.content() {
        Content::Str(text) | Content::Word(text) | Content::Number(text) => text == key,
        _ => false,
    };
    same.then(|| Some((name, entry.get("value").map_or(entry, |(_, value)| value))))?
}

fn flatten<'t>(source: usize, value: Value<'t>, out: &mut Vec<(usize, Value<'t>)>) {
    match value.content() {
        Content::List(items) => items.for_each(|item| flatten(source, item, out)),
        _ => out.push((source, value)),
    }
}

fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// The type of the bootstrap message.
pub(crate) fn bootstrap_type() -> Option<MessageType> {
    MessageType::find("envoy.config.bootstrap.v3.Bootstrap")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_text_format() {
        let text = "static_resources {\n  clusters { name: 'a' }\n  clusters: [ { name: 'b' },\n    { metadata { filter_metadata { key: 'x.y'\n value { } } } } ]\n\
             listeners { api_listener { api_listener { [t.com/a.B] {\n stat_prefix: 'x' } } } } }";
        let document = Document {
            sources: vec![Source::new("a.pb_text", text, Some(Syntax::Text))],
        };
        for (path, place) in [
            ("static_resources.clusters[0].name", (2, 20)),
            ("static_resources.clusters[1].name", (3, 23)),
            (
                "static_resources.clusters[2].metadata.filter_metadata[\"x.y\"]",
                (4, 41),
            ),
            (
                "static_resources.listeners[0].api_listener.api_listener.stat_prefix",
                (7, 15),
            ),
            ("static_resources.clusters[2].nope", (4, 5)),
        ] {
            let found = document.diagnose(&ConfigError::new(path, "x"));
            assert_eq!((found.line, found.column), place, "{path}");
        }
    }

    fn document(texts: &[&str]) -> Document {
        let sources = texts
            .iter()
            .enumerate()
            .map(|(i, text)| Source::new(format!("{i}.yaml"), *text, Some(Syntax::Yaml)));
        Document {
            sources: sources.collect(),
        }
    }

    fn place(texts: &[&str], path: &str) -> (String, u32, u32) {
        let found = document(texts).diagnose(&ConfigError::new(path, "x"));
        (found.file, found.line, found.column)
    }

    const FILE: &str = "node: {id: a}\nstatic_resources:\n  clusters:\n  - name: a\n    connectTimeout: 1s\n    metadata:\n      filter_metadata:\n        a.b: {c: 1}\n";

    #[test]
    fn places_of_values_keys_and_absent_fields() {
        let at = |path| {
            let (_, line, column) = place(&[FILE], path);
            (line, column)
        };
        assert_eq!(at("node.id"), (1, 12));
        assert_eq!(at("node"), (1, 1));
        assert_eq!(at("static_resources.clusters[0].connect_timeout"), (5, 21));
        assert_eq!(
            at("static_resources.clusters[0].load_assignment.endpoints[3]"),
            (4, 5)
        );
        assert_eq!(
            at("static_resources.clusters[0].metadata.filter_metadata[\"a.b\"]"),
            (8, 9)
        );
        assert_eq!(at("nope"), (1, 1));
    }

    #[test]
    fn two_texts_are_one_document() {
        let over = "static_resources: {clusters: {name: b}}\nnode: {id: z}";
        let at = |path| place(&[FILE, over], path);
        assert_eq!(
            at("static_resources.clusters[1].name"),
            ("1.yaml".into(), 1, 37)
        );
        assert_eq!(
            at("static_resources.clusters[0].name"),
            ("0.yaml".into(), 4, 11)
        );
        assert_eq!(at("node.id"), ("1.yaml".into(), 2, 12));
    }

    #[test]
    fn typed_structs_are_looked_through() {
        let text = "a:\n  '@type': x/xds.type.v3.TypedStruct\n  value:\n    b: 1\n";
        assert_eq!(place(&[text], "a.b"), ("0.yaml".into(), 4, 8));
    }
}
