//! `envoy.config.route.v3.CookieMatcher`.

use nuncio_config::{ConfigError, Within, api};
use nuncio_http::{HeaderMap, Known};

use super::StringMatcher;

/// Matches the value of a cookie; of several with its name, the first counts.
#[derive(Debug)]
pub struct CookieMatcher {
    name: Box<str>,
    value: StringMatcher,
    invert: bool,
}

impl CookieMatcher {
    /// Compiles the message.
    ///
    /// # Errors
    /// When the name or the pattern is missing or not valid.
    pub fn from_config(config: &api::route::CookieMatcher) -> Result<CookieMatcher, ConfigError> {
        let api::route::CookieMatcher {
            name,
            string_match,
            invert_match,
        } = config;
        if name.is_empty() || name.len() > 1024 {
            return Err(ConfigError::new(
                "name",
                "value length must be between 1 and 1024 bytes",
            ));
        }
        let Some(string_match) = string_match else {
            return Err(ConfigError::new("string_match", "value is required"));
        };
        Ok(CookieMatcher {
            name: name.as_str().into(),
            value: StringMatcher::from_config(string_match).within("string_match")?,
            invert: *invert_match,
        })
    }

    /// Whether the request's cookies match. An absent cookie matches only inverted.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let value = cookie(headers, self.name.as_bytes());
        value.is_some_and(|value| self.value.matches(value)) != self.invert
    }
}

/// The value of the first cookie of this name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    let cookies = headers
        .get_all(Known::Cookie)
        .flat_map(|line| line.split(|&byte| byte == b';'));
    let mut pairs = cookies.filter_map(pair);
    Some(pairs.find(|(known, _)| *known == name)?.1)
}

/// Name and value of one cookie; blanks before the name and quotes around the value are not part of them.
fn pair(cookie: &[u8]) -> Option<(&[u8], &[u8])> {
    let cookie = cookie.trim_ascii_start();
    let at = memchr::memchr(b'=', cookie)?;
    let value = &cookie[at + 1..];
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    Some((&cookie[..at], value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_config::api::matcher::string_matcher::MatchPattern;

    /// What Envoy 1.40 answered for these `cookie` headers.
    const COOKIES: [&[&str]; 13] = [
        &[],
        &["a=1"],
        &["a=2"],
        &["a=\"1\""],
        &["b=2; a=1"],
        &["a=1; a=2"],
        &["a=2; a=1"],
        &["b=2", "a=1"],
        &["a=1;b=2"],
        &["a = 1"],
        &["a="],
        &["a"],
        &["A=1"],
    ];

    fn row(value: &str, invert_match: bool) -> String {
        let string_match = Some(api::matcher::StringMatcher {
            ignore_case: false,
            match_pattern: Some(MatchPattern::Exact(value.into())),
        });
        let config = api::route::CookieMatcher {
            name: "a".into(),
            string_match,
            invert_match,
        };
        let matcher = CookieMatcher::from_config(&config).unwrap();
        let case = |lines: &&[&str]| {
            let headers: HeaderMap = lines.iter().map(|line| ("cookie", line)).collect();
            if matcher.matches(&headers) { 'Y' } else { 'n' }
        };
        COOKIES.iter().map(case).collect()
    }

    #[test]
    fn answers_are_those_of_envoy() {
        assert_eq!(row("1", false), "nYnYYYnYYnnnn");
        assert_eq!(row("1", true), "YnYnnnYnnYYYY");
        assert_eq!(row("\"1\"", false), "nnnnnnnnnnnnn");
        assert_eq!(row("", false), "nnnnnnnnnnYnn");
    }
}
