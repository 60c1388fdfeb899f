//! YAML case files → `serde_json::Value`, with YAML 1.2 core-schema scalars.
//!
//! Case files are our own, so this loader is small: anchors work, tags and merge keys are not used.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Reads the only document of `text`.
pub(crate) fn load(text: &str) -> Result<Value> {
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        line: 1,
    };
    loop {
        match loader.next()? {
            Event::DocumentStart(_) => {
                let first = loader.next()?;
                return loader
                    .node(first)
                    .with_context(|| format!("near line {}", loader.line));
            }
            Event::StreamEnd => bail!("the file holds no YAML document"),
            _ => {}
        }
    }
}

struct Loader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    line: usize,
}

impl<'a> Loader<'a> {
    fn next(&mut self) -> Result<Event<'a>> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => bail!("{error}"),
            None => bail!("the file ends early"),
        }
    }

    fn node(&mut self, event: Event<'a>) -> Result<Value> {
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break,
                        item => items.push(self.node(item)?),
                    }
                }
                (anchor, Value::Array(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Value::Object(self.mapping()?)),
            Event::Alias(id) => {
                return self
                    .anchors
                    .get(&id)
                    .cloned()
                    .context("alias to an unknown anchor");
            }
            other => bail!("unexpected {other:?}"),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self) -> Result<Map<String, Value>> {
        let mut map = Map::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(map),
                Event::Scalar(text, ..) => text.into_owned(),
                other => bail!("a key must be a scalar, found {other:?}"),
            };
            let first = self.next()?;
            let value = self.node(first)?;
            if map.insert(key.clone(), value).is_some() {
                bail!("key {key:?} twice in one mapping, near line {}", self.line);
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse::<i64>()
            .map(Value::from)
            .unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_scalars_collections_and_anchors() {
        let value = load("a: &x [1, 'two', true, ~]\nb: *x\nc: |\n  line\n").unwrap();
        assert_eq!(
            value,
            json!({"a": [1, "two", true, null], "b": [1, "two", true, null], "c": "line\n"})
        );
    }

    #[test]
    fn a_repeated_key_is_an_error() {
        assert!(load("a: 1\na: 2\n").is_err());
    }
}
