//! `%PATH%`, `%QUERY_PARAM%` and `%QUERY_PARAMS%`

use nuncio_config::ConfigError;
use nuncio_http::Known;
use nuncio_sdk::LogContext;

use super::operator::{Written, cut};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathSource {
    /// `:path` as it is now.
    Path,
    /// `x-envoy-original-path`: what it was before the router rewrote it.
    Original,
    OriginalOrPath,
}

impl PathSource {
    fn of<'a>(self, cx: &LogContext<'a>) -> Option<&'a [u8]> {
        let original = || cx.request_headers.get(Known::XEnvoyOriginalPath);
        match self {
            PathSource::Path => cx.request_headers.path(),
            PathSource::Original => original(),
            PathSource::OriginalOrPath => original().or_else(|| cx.request_headers.path()),
        }
    }
}

/// `%PATH(WQ|NQ:PATH|ORIG|ORIG_OR_PATH):Z%`
#[derive(Debug)]
pub(super) struct PathOperator {
    with_query: bool,
    source: PathSource,
    length: usize,
}

impl PathOperator {
    pub(super) fn parse(argument: &str, length: usize) -> Result<PathOperator, ConfigError> {
        let mut pieces = argument.split(':');
        let with_query = match pieces.next().unwrap_or("") {
            "" | "WQ" => true,
            "NQ" => false,
            other => {
                let message = format!("Invalid PATH option: '{other}', only 'WQ'/'NQ' are allowed");
                return Err(ConfigError::new("", message));
            }
        };
        let source = match pieces.next().unwrap_or("") {
            "" | "ORIG_OR_PATH" => PathSource::OriginalOrPath,
            "PATH" => PathSource::Path,
            "ORIG" => PathSource::Original,
            other => {
                let message = format!(
                    "Invalid PATH option: '{other}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed"
                );
                return Err(ConfigError::new("", message));
            }
        };
        Ok(PathOperator {
            with_query,
            source,
            length,
        })
    }

    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let Some(path) = self.source.of(cx) else {
            return Written::Nothing;
        };
        let shown = if self.with_query {
            path
        } else {
            split_query(path).0
        };
        out.extend_from_slice(cut(shown, self.length));
        Written::Text
    }
}

/// Path and query; no query when there is no `?`.
fn split_query(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'?') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

fn query<'a>(cx: &LogContext<'a>) -> Option<&'a [u8]> {
    split_query(cx.request_headers.path()?).1
}

/// `%QUERY_PARAM(name):Z%`: the first parameter of that name, both percent-decoded.
#[derive(Debug)]
pub(super) struct QueryParam {
    pub(super) name: Box<str>,
    pub(super) length: usize,
}

impl QueryParam {
    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let Some(query) = query(cx) else {
            return Written::Nothing;
        };
        for pair in query.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next().unwrap_or(b""), halves.next().unwrap_or(b""));
            if decoded(name).eq(self.name.bytes()) && !pair.is_empty() {
                out.extend(decoded(value).take(self.length));
                return Written::Text;
            }
        }
        Written::Nothing
    }
}

/// Percent-decoded bytes; a `%` without two hexadecimal digits stays.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        match escape_at(text, at) {
            Some(value) => {
                at += 3;
                Some(value)
            }
            None => {
                at += 1;
                Some(byte)
            }
        }
    })
}

/// The byte that `%XX` at this place stands for.
fn escape_at(text: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = *text.get(at..at + 3)? else {
        return None;
    };
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

/// `%QUERY_PARAMS(ORIG|DECODED):Z%`: the whole query.
#[derive(Debug)]
pub(super) struct QueryParams {
    decode: bool,
    length: usize,
}

impl QueryParams {
    pub(super) fn parse(argument: &str, length: usize) -> Result<QueryParams, ConfigError> {
        let decode = match argument {
            "" | "ORIG" => false,
            "DECODED" => true,
            other => {
                let message = format!(
                    "Invalid QUERY_PARAMS option: '{other}', only 'ORIG'/'DECODED' are allowed"
                );
                return Err(ConfigError::new("", message));
            }
        };
        Ok(QueryParams { decode, length })
    }

    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let Some(query) = query(cx) else {
            return Written::Nothing;
        };
        if !self.decode {
            out.extend_from_slice(cut(query, self.length));
            return Written::Text;
        }
        let start = out.len();
        let mut at = 0;
        while at < query.len() && out.len() - start < self.length {
            match (query[at], escape_at(query, at)) {
                (_, Some(value)) => {
                    if is_shown(value) {
                        out.push(value);
                    } else {
                        out.extend_from_slice(&query[at..at + 3]);
                    }
                    at += 3;
                }
                // Envoy's URL decoder drops a percent sign that begins no escape.
                (b'%', None) => at += 1,
                (byte, None) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        out.truncate(start.saturating_add(self.length).min(out.len()));
        Written::Text
    }
}

/// What Envoy's URL decoder decodes; the rest stays escaped.
fn is_shown(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'{' | b'|' | b'}')
}
