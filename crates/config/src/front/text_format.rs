//! protobuf's text format, as its C++ library reads it for Envoy (`.pb_text`). Tried on Envoy 1.40.
//!
//! A message becomes a mapping whose keys may repeat (that is how repeated fields are written); the expanded form of an
//! `Any` becomes a mapping with one key, the type URL behind a `[`.

use super::{
    MAX_DEPTH, SyntaxError,
    cursor::{Blanks, Cursor, is_high_surrogate, surrogate_pair},
    tree::{Builder, Tree},
};

/// Parses `text`: the fields of one message.
pub(super) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    let mut parser = Parser {
        cursor: Cursor::new(text, Blanks::Text)?,
        builder: Builder::new(text.len()),
    };
    parser.builder.open_map(parser.cursor.place());
    parser.fields(None)?;
    Ok(parser.builder.finish())
}

struct Parser<'s> {
    cursor: Cursor<'s>,
    builder: Builder,
}

impl<'s> Parser<'s> {
    /// The fields of a message up to its closing bracket (or the end of the text), which closes the builder's mapping.
    fn fields(&mut self, end: Option<u8>) -> Result<(), SyntaxError> {
        while self.cursor.peek() != end {
            self.name()?;
            // A message needs no colon, and neither does a list of messages.
            let colon = self.cursor.eat(b':');
            match self.cursor.peek() {
                Some(b'{' | b'<') => self.message()?,
                Some(b'[') => self.list(colon)?,
                _ if colon => self.scalar()?,
                _ => return Err(self.cursor.unexpected("expected ':' or a message")),
            }
            if !self.cursor.eat(b',') {
                self.cursor.eat(b';');
            }
        }
        self.cursor.at += usize::from(end.is_some());
        self.builder.close();
        Ok(())
    }

    /// A field's name, or a type URL in brackets.
    fn name(&mut self) -> Result<(), SyntaxError> {
        let next = self.cursor.peek();
        let place = self.cursor.place();
        if next != Some(b'[') {
            let name = self.identifier("expected a field name")?;
            self.builder.string(place, name);
            return Ok(());
        }
        let mut url = String::from("[");
        self.cursor.at += 1;
        while !self.cursor.eat(b']') {
            match self.cursor.peek() {
                Some(byte) if byte.is_ascii_alphanumeric() || b"./_-".contains(&byte) => {
                    url.push(char::from(byte));
                    self.cursor.at += 1;
                }
                _ => return Err(self.cursor.unexpected("expected a type URL and ']'")),
            }
        }
        self.builder.string(place, &url);
        Ok(())
    }

    /// A letter or underscore, and what follows it.
    fn identifier(&mut self, expected: &str) -> Result<&'s str, SyntaxError> {
        let word = self.cursor.word(|b| b.is_ascii_alphanumeric() || b == b'_');
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.cursor.unexpected(expected));
        }
        self.cursor.at += word.len();
        Ok(word)
    }

    fn open(&mut self) -> Result<(), SyntaxError> {
        match self.builder.depth() > MAX_DEPTH {
            true => Err(self.cursor.error("content was too deeply nested")),
            false => Ok(()),
        }
    }

    /// A message whose opening bracket is next.
    fn message(&mut self) -> Result<(), SyntaxError> {
        self.open()?;
        let end = match self.cursor.peek() {
            Some(b'<') => b'>',
            _ => b'}',
        };
        self.builder.open_map(self.cursor.place());
        self.cursor.at += 1;
        self.fields(Some(end))
    }

    /// A list whose opening bracket is next; without a colon before it, only messages stand in it.
    fn list(&mut self, colon: bool) -> Result<(), SyntaxError> {
        self.open()?;
        self.builder.open_list(self.cursor.place());
        self.cursor.at += 1;
        if !self.cursor.eat(b']') {
            loop {
                match self.cursor.peek() {
                    Some(b'{' | b'<') => self.message()?,
                    _ if colon => self.scalar()?,
                    _ => return Err(self.cursor.unexpected("expected '{'")),
                }
                if self.cursor.eat(b']') {
                    break;
                }
                if !self.cursor.eat(b',') {
                    return Err(self.cursor.unexpected("expected ',' or ']'"));
                }
            }
        }
        self.builder.close();
        Ok(())
    }

    /// A string, a number or a word.
    fn scalar(&mut self) -> Result<(), SyntaxError> {
        let next = self.cursor.peek();
        let place = self.cursor.place();
        if matches!(next, Some(b'"' | b'\'')) {
            let bytes = self.strings()?;
            self.builder.bytes(place, &bytes);
            return Ok(());
        }
        let sign = if self.cursor.eat(b'-') { "-" } else { "" };
        match self.cursor.peek() {
            Some(b'0'..=b'9' | b'.') => {
                let digits = self.number()?;
                self.builder.number(place, &format!("{sign}{digits}"));
            }
            _ => {
                let word = self.identifier("expected a value")?;
                self.builder.word(place, &format!("{sign}{word}"));
            }
        }
        Ok(())
    }

    /// A number without its sign, as it stands but for the `f` that may follow it. A hexadecimal one is
    /// `0x…`, an octal one begins with 0.
    fn number(&mut self) -> Result<&'s str, SyntaxError> {
        let rest = self.cursor.rest();
        let after_exponent = |at: usize| matches!(rest.as_bytes()[at - 1], b'e' | b'E');
        let end = rest.bytes().enumerate().position(|(at, byte)| match byte {
            b'+' | b'-' => at == 0 || !after_exponent(at) || rest.starts_with("0x"),
            byte => !byte.is_ascii_alphanumeric() && byte != b'.' && byte != b'_',
        });
        let text = &rest[..end.unwrap_or(rest.len())];
        let number = match text.strip_suffix(['f', 'F']) {
            Some(number) if !is_hex(text) => number,
            _ => text,
        };
        if !is_number(number) {
            return Err(self.cursor.error(format!("invalid number: '{text}'")));
        }
        self.cursor.at += text.len();
        Ok(number)
    }

    /// One string, or several that stand one after the other.
    fn strings(&mut self) -> Result<Vec<u8>, SyntaxError> {
        let mut bytes = Vec::new();
        while let Some(quote @ (b'"' | b'\'')) = self.cursor.peek() {
            self.cursor.at += 1;
            loop {
                match self.cursor.byte() {
                    None => return Err(self.cursor.error("unexpected EOF; expected a quote")),
                    Some(b'\n') => {
                        let message = "a string must not go over the end of a line; write \\n, or go on with another string";
                        return Err(self.cursor.error(message));
                    }
                    Some(b'\\') => self.escape(&mut bytes)?,
                    Some(byte) => {
                        self.cursor.at += 1;
                        if byte == quote {
                            break;
                        }
                        bytes.push(byte);
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// An escape sequence whose backslash is next.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let rest = self.cursor.rest().as_bytes();
        let digits = |from: usize, most: usize, radix: u32| {
            let digits = rest.iter().skip(from).take(most);
            digits
                .take_while(|b| char::from(**b).is_digit(radix))
                .count()
        };
        let value = |from: usize, len: usize, radix: u32| {
            let text = self.cursor.rest().get(from..from + len);
            text.and_then(|text| u32::from_str_radix(text, radix).ok())
        };
        let plain = match rest.get(1) {
            Some(b'a') => 0x07,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(&same @ (b'\\' | b'?' | b'\'' | b'"')) => same,
            Some(b'0'..=b'7') => {
                let len = digits(1, 3, 8);
                let code = value(1, len, 8).and_then(|code| u8::try_from(code).ok());
                out.push(code.ok_or_else(|| self.cursor.error("octal escape above \\377"))?);
                self.cursor.at += 1 + len;
                return Ok(());
            }
            Some(b'x' | b'X') if digits(2, 2, 16) > 0 => {
                let len = digits(2, 2, 16);
                out.extend(value(2, len, 16).and_then(|code| u8::try_from(code).ok()));
                self.cursor.at += 2 + len;
                return Ok(());
            }
            Some(b'u' | b'U') => return self.unicode_escape(out),
            _ => return Err(self.cursor.error("invalid escape sequence in a string")),
        };
        out.push(plain);
        self.cursor.at += 2;
        Ok(())
    }

    /// `\uXXXX` (two of them for a surrogate pair) or `\UXXXXXXXX`.
    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let rest = self.cursor.rest();
        let mut len = if rest.starts_with("\\U") { 10 } else { 6 };
        let code = self.cursor.hex(2, len - 2);
        let mut found = code.and_then(char::from_u32);
        if let Some(high) = code.filter(|code| is_high_surrogate(*code))
            && rest[len..].starts_with("\\u")
            && let Some(low) = self.cursor.hex(len + 2, 4)
        {
            found = surrogate_pair(high, low);
            len += 6;
        }
        let Some(c) = found else {
            return Err(self.cursor.error("invalid Unicode escape"));
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        self.cursor.at += len;
        Ok(())
    }
}

fn is_hex(text: &str) -> bool {
    text.starts_with("0x") || text.starts_with("0X")
}

/// `0x…`, octal digits behind a 0, or a decimal number with fraction or exponent.
fn is_number(text: &str) -> bool {
    if is_hex(text) {
        return text.len() > 2 && text[2..].bytes().all(|b| b.is_ascii_hexdigit());
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.strip_prefix('0') {
        Some(octal) if digits => octal.bytes().all(|b| b < b'8'),
        _ => {
            let first = text.bytes().next().unwrap_or_default();
            (first.is_ascii_digit() || text.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
                && text.parse::<f64>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests;
