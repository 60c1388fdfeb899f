//! JSON as protobuf's C++ library reads it, which is laxer than the standard: a trailing comma, keys without
//! quotes, single quotes and control characters in strings are accepted. Tried on Envoy 1.40.

use std::borrow::Cow;

use super::{
    MAX_DEPTH, SyntaxError,
    cursor::{Blanks, Cursor, is_high_surrogate, surrogate_pair},
    tree::{Builder, Tree},
};

/// Parses `text`, which must be one JSON object and nothing else.
pub(super) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    let mut parser = Parser {
        cursor: Cursor::new(text, Blanks::Json)?,
        builder: Builder::new(text.len()),
    };
    if parser.cursor.peek() != Some(b'{') {
        return Err(parser.cursor.unexpected("expected '{'"));
    }
    parser.value()?;
    match parser.cursor.peek() {
        None => Ok(parser.builder.finish()),
        Some(_) => Err(parser
            .cursor
            .error("extraneous characters after end of JSON object")),
    }
}

struct Parser<'s> {
    cursor: Cursor<'s>,
    builder: Builder,
}

impl<'s> Parser<'s> {
    fn value(&mut self) -> Result<(), SyntaxError> {
        let next = self.cursor.peek();
        let place = self.cursor.place();
        match next {
            Some(b'{') => {
                self.builder.open_map(place);
                self.container(b'}', Self::entry)
            }
            Some(b'[') => {
                self.builder.open_list(place);
                self.container(b']', Self::value)
            }
            Some(b'"' | b'\'') => {
                let text = self.string()?;
                self.builder.string(place, &text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => {
                let text = self.number()?;
                self.builder.number(place, text);
                Ok(())
            }
            _ => {
                let rest = self.cursor.rest();
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|word| rest.starts_with(word));
                match word {
                    Some("null") => self.builder.null(place),
                    Some(word) => self.builder.bool(place, word == "true"),
                    None => return Err(self.cursor.unexpected("expected a value")),
                }
                self.cursor.at += word.map_or(0, str::len);
                Ok(())
            }
        }
    }

    /// The rest of a container whose opening bracket is next; the builder has opened it.
    fn container(
        &mut self,
        end: u8,
        item: fn(&mut Self) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        if self.builder.depth() > MAX_DEPTH {
            return Err(self.cursor.error("JSON content was too deeply nested"));
        }
        self.cursor.at += 1;
        while !self.cursor.eat(end) {
            item(self)?;
            if !self.cursor.eat(b',') && self.cursor.peek() != Some(end) {
                return Err(self.cursor.unexpected("expected ','"));
            }
        }
        self.builder.close();
        Ok(())
    }

    fn entry(&mut self) -> Result<(), SyntaxError> {
        let next = self.cursor.peek();
        let place = self.cursor.place();
        let key = match next {
            Some(b'"' | b'\'') => self.string()?,
            _ => Cow::Borrowed(self.bare_word()?),
        };
        self.builder.string(place, &key);
        if !self.cursor.eat(b':') {
            return Err(self.cursor.unexpected("expected ':'"));
        }
        self.value()
    }

    fn bare_word(&mut self) -> Result<&'s str, SyntaxError> {
        let word = self.cursor.word(|b| b.is_ascii_alphanumeric() || b == b'_');
        if word.is_empty()
            || word.as_bytes()[0].is_ascii_digit()
            || matches!(word, "null" | "true" | "false")
        {
            return Err(self.cursor.unexpected("expected '\"'"));
        }
        self.cursor.at += word.len();
        Ok(word)
    }

    fn number(&mut self) -> Result<&'s str, SyntaxError> {
        let belongs = |b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let number = self.cursor.word(belongs);
        if !is_number(number) {
            return Err(self.cursor.error(format!("invalid number: '{number}'")));
        }
        self.cursor.at += number.len();
        Ok(number)
    }

    /// A string whose opening quote is next.
    fn string(&mut self) -> Result<Cow<'s, str>, SyntaxError> {
        let quote = self.cursor.text.as_bytes()[self.cursor.at];
        self.cursor.at += 1;
        let start = self.cursor.at;
        let mut owned = String::new();
        let mut copied = start;
        loop {
            let Some(byte) = self.cursor.byte() else {
                return Err(self.cursor.error("unexpected EOF"));
            };
            match byte {
                b'\\' => {
                    owned.push_str(&self.cursor.text[copied..self.cursor.at]);
                    let escaped = self.escape()?;
                    owned.push(escaped);
                    copied = self.cursor.at;
                }
                b'\n' => self.cursor.break_line(),
                _ => {
                    self.cursor.at += 1;
                    if byte == quote {
                        break;
                    }
                }
            }
        }
        let tail = &self.cursor.text[copied..self.cursor.at - 1];
        if copied == start {
            return Ok(Cow::Borrowed(tail));
        }
        owned.push_str(tail);
        Ok(Cow::Owned(owned))
    }

    /// An escape sequence whose backslash is next.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let escaped = self.cursor.text[self.cursor.at + 1..].chars().next();
        let plain = match escaped {
            Some('"' | '\\' | '/' | '\'') => escaped,
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u' | 'U') => return self.unicode_escape(),
            Some(c) => {
                return Err(self
                    .cursor
                    .error(format!("invalid escape char: '{}'", c.escape_debug())));
            }
            None => None,
        };
        self.cursor.at += 2;
        plain.ok_or_else(|| {
            self.cursor.at = self.cursor.text.len();
            self.cursor.error("unexpected EOF")
        })
    }

    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let code = self.hex4()?;
        if !is_high_surrogate(code) {
            return char::from_u32(code).ok_or_else(|| self.cursor.error("unpaired low surrogate"));
        }
        if !self.cursor.rest().starts_with("\\u") {
            return Err(self.cursor.error("invalid low surrogate"));
        }
        let low = self.hex4()?;
        surrogate_pair(code, low).ok_or_else(|| self.cursor.error("invalid low surrogate"))
    }

    /// `\uXXXX` at the current place.
    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let code = self.cursor.hex(2, 4);
        let code = code.ok_or_else(|| self.cursor.error("invalid Unicode escape"))?;
        self.cursor.at += 6;
        Ok(code)
    }
}

/// `-?` digits without a leading zero, a fraction, an exponent; finite as a double.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let integer = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let leading_zero = integer > 1 && unsigned.starts_with('0');
    integer > 0
        && !leading_zero
        && !unsigned[integer..].starts_with(".e")
        && !unsigned[integer..].starts_with(".E")
        && !text.ends_with('.')
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tree::{Content, Place},
        *,
    };

    fn field(text: &str) -> Result<String, String> {
        let tree = parse(text)
            .map_err(|e| format!("{}:{} {}", e.place.line, e.place.column, e.message))?;
        let (_, value) = tree.root().get("a").ok_or("no a")?;
        Ok(match value.content() {
            Content::Str(text) | Content::Number(text) => text.to_owned(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn columns_are_characters_from_the_last_line_break() {
        let at = |text: &str| field(text).unwrap_err();
        assert!(at("{\"é\": 1, \"b\": 2, \"c\": x}").starts_with("1:23 "));
        assert!(at("{\"é\": 1,\n \"b\": 2, \"c\": x}").starts_with("2:15 "));
    }

    #[test]
    fn what_protobuf_accepts() {
        assert_eq!(field("{\"a\": \"b\"}").unwrap(), "b");
        assert_eq!(field("{a:'b',}").unwrap(), "b");
        assert_eq!(
            field("{\"a\":\"\\u00e9\\n\\ud83d\\ude00\\\"\"}").unwrap(),
            "é\n😀\""
        );
        assert_eq!(field("{\"a\":\"x\ny\"}").unwrap(), "x\ny");
        assert_eq!(field("{\"a\":-12.5e+3}").unwrap(), "-12.5e+3");
        assert_eq!(field("{\"a\":1,\"a\":2}").unwrap(), "2");
    }

    #[test]
    fn what_it_refuses() {
        assert_eq!(field("").unwrap_err(), "1:1 unexpected EOF; expected '{'");
        assert_eq!(
            field("{} x").unwrap_err(),
            "1:4 extraneous characters after end of JSON object"
        );
        assert_eq!(
            field("\u{feff}{}").unwrap_err(),
            "1:1 unexpected character: '\\u{feff}'; expected '{'"
        );
        for bad in [
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":-}",
            "{\"a\":1e999}",
            "{\"a\":\"x}",
            "{\"a\":\"\\",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\udc00\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":1 2}",
            "{,}",
            "{1:2}",
            "{null:2}",
            "[]",
            "null",
            "{\"a\":tru}",
            "// x\n{}",
        ] {
            assert!(field(bad).is_err(), "{bad}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(101));
        assert!(field(&deep).unwrap_err().contains("too deeply nested"));
    }

    #[test]
    fn places() {
        let tree = parse("{\n  \"é\": 1, \"b\": [true,\n 7]}").unwrap();
        let (key, value) = tree.root().get("b").unwrap();
        assert_eq!(
            key.place(),
            Place {
                line: 2,
                column: 11
            }
        );
        let Content::List(items) = value.content() else {
            panic!()
        };
        assert_eq!(items.last().unwrap().place(), Place { line: 3, column: 2 });
    }
}
