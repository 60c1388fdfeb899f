//! `envoy.config.route.v3.QueryParameterMatcher`.

use nuncio_config::api::route::query_parameter_matcher::QueryParameterMatchSpecifier;
use nuncio_config::{ConfigError, Within, api};

use super::StringMatcher;

/// Matches the first query parameter of a name. Nothing is percent-decoded, as in Envoy.
#[derive(Debug)]
pub struct QueryParameterMatcher {
    name: Box<str>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Present(bool),
    Value(StringMatcher),
}

impl QueryParameterMatcher {
    /// Compiles the message.
    ///
    /// # Errors
    /// When the name is missing or too long, or a pattern is not valid.
    pub fn from_config(
        config: &api::route::QueryParameterMatcher,
    ) -> Result<QueryParameterMatcher, ConfigError> {
        let api::route::QueryParameterMatcher {
            name,
            query_parameter_match_specifier,
        } = config;
        if name.is_empty() || name.len() > 1024 {
            return Err(ConfigError::new(
                "name",
                "value length must be between 1 and 1024 bytes",
            ));
        }
        let kind = match query_parameter_match_specifier {
            None => Kind::Present(true),
            Some(QueryParameterMatchSpecifier::PresentMatch(present)) => Kind::Present(*present),
            Some(QueryParameterMatchSpecifier::StringMatch(matcher)) => {
                Kind::Value(StringMatcher::from_config(matcher).within("string_match")?)
            }
        };
        Ok(QueryParameterMatcher {
            name: name.as_str().into(),
            kind,
        })
    }

    /// Whether `path`, a `:path` with its query, matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        let value = first_value(path, self.name.as_bytes());
        match &self.kind {
            Kind::Present(present) => value.is_some() == *present,
            Kind::Value(matcher) => value.is_some_and(|value| matcher.matches(value)),
        }
    }
}

/// The value of the first parameter of this name in a `:path`; empty when it has no `=`.
pub(crate) fn first_value<'p>(path: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let query = &path[memchr::memchr(b'?', path)? + 1..];
    query.split(|&byte| byte == b'&').find_map(|parameter| {
        let (key, value) = match memchr::memchr(b'=', parameter) {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, &b""[..]),
        };
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_config::api::matcher::string_matcher::MatchPattern;

    /// What Envoy 1.40 answered for these queries.
    const QUERIES: [&str; 16] = [
        "", "?a=1", "?a=2", "?a", "?a=", "?a=1&a=2", "?a=2&a=1", "?A=1", "?a=%31", "?a=%20",
        "?a=+", "?b=1&a=1", "?a=1;b", "?&&a=1", "?a=1=2", "?x?a=1",
    ];

    fn row(specifier: Option<QueryParameterMatchSpecifier>) -> String {
        let config = api::route::QueryParameterMatcher {
            name: "a".into(),
            query_parameter_match_specifier: specifier,
        };
        let matcher = QueryParameterMatcher::from_config(&config).unwrap();
        let case = |query: &&str| {
            if matcher.matches(format!("/p{query}").as_bytes()) {
                'Y'
            } else {
                'n'
            }
        };
        QUERIES.iter().map(case).collect()
    }

    #[test]
    fn answers_are_those_of_envoy() {
        let exact = |text: &str| {
            Some(QueryParameterMatchSpecifier::StringMatch(
                api::matcher::StringMatcher {
                    ignore_case: false,
                    match_pattern: Some(MatchPattern::Exact(text.into())),
                },
            ))
        };
        assert_eq!(row(exact("1")), "nYnnnYnnnnnYnYnn");
        assert_eq!(
            row(Some(QueryParameterMatchSpecifier::PresentMatch(true))),
            "nYYYYYYnYYYYYYYn"
        );
        assert_eq!(
            row(Some(QueryParameterMatchSpecifier::PresentMatch(false))),
            "YnnnnnnYnnnnnnnY"
        );
        assert_eq!(row(None), "nYYYYYYnYYYYYYYn");
        assert_eq!(row(exact("")), "nnnYYnnnnnnnnnnn");
    }
}
