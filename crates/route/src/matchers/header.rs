//! `envoy.config.route.v3.HeaderMatcher`.

use nuncio_config::api::route::header_matcher::HeaderMatchSpecifier;
use nuncio_config::{ConfigError, Within, api};
use nuncio_http::{HeaderMap, Known, NameRef};

use super::StringMatcher;
use crate::regex::Regex;

/// Matches a header by its name and what its value must be.
///
/// A header with several values matches if one of them does; `invert_match` turns that answer round. An absent
/// header matches nothing, inverted or not, unless presence itself is asked for or
/// `treat_missing_header_as_empty` gives it an empty value.
#[derive(Debug)]
pub struct HeaderMatcher {
    name: HeaderName,
    kind: Kind,
    invert: bool,
    missing_as_empty: bool,
}

/// The name of a header in the configuration, lower case.
#[derive(Debug)]
pub struct HeaderName(Name);

#[derive(Debug)]
enum Name {
    Known(Known),
    Other(Box<str>),
}

impl HeaderName {
    /// A name of a request header; `host` is `:authority`.
    pub fn of_request(name: &str) -> HeaderName {
        let lower = name.to_ascii_lowercase();
        match Known::from_request_name(lower.as_bytes()) {
            Some(known) => HeaderName(Name::Known(known)),
            None => HeaderName(Name::Other(lower.into())),
        }
    }

    /// As calls of a [`HeaderMap`] take it.
    pub fn as_ref(&self) -> NameRef<'_> {
        match &self.0 {
            Name::Known(known) => NameRef::Known(*known),
            Name::Other(name) => NameRef::Other(name.as_bytes()),
        }
    }
}

#[derive(Debug)]
enum Kind {
    Present(bool),
    /// Start (inclusive) and end (exclusive) of a range of integers.
    Range(i64, i64),
    /// The deprecated `exact_match: ""`: any value.
    Any,
    Value(StringMatcher),
}

impl HeaderMatcher {
    /// Compiles the message for request headers.
    ///
    /// # Errors
    /// When the name is missing or a pattern is not valid.
    pub fn from_config(config: &api::route::HeaderMatcher) -> Result<HeaderMatcher, ConfigError> {
        let api::route::HeaderMatcher {
            name,
            invert_match,
            treat_missing_header_as_empty,
            header_match_specifier,
        } = config;
        if name.is_empty() {
            return Err(ConfigError::new(
                "name",
                "value length must be at least 1 characters",
            ));
        }
        let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
        #[expect(deprecated, reason = "Envoy still takes these fields")]
        let kind = match header_match_specifier {
            None => Kind::Present(true),
            Some(HeaderMatchSpecifier::PresentMatch(present)) => Kind::Present(*present),
            Some(HeaderMatchSpecifier::RangeMatch(range)) => Kind::Range(range.start, range.end),
            Some(HeaderMatchSpecifier::ExactMatch(text)) if text.is_empty() => Kind::Any,
            Some(HeaderMatchSpecifier::ExactMatch(text)) => {
                Kind::Value(StringMatcher::Exact(bytes(text)))
            }
            Some(HeaderMatchSpecifier::PrefixMatch(text)) => {
                Kind::Value(StringMatcher::Prefix(bytes(text)))
            }
            Some(HeaderMatchSpecifier::SuffixMatch(text)) => {
                Kind::Value(StringMatcher::Suffix(bytes(text)))
            }
            Some(HeaderMatchSpecifier::ContainsMatch(text)) => {
                Kind::Value(StringMatcher::contains(text))
            }
            Some(HeaderMatchSpecifier::SafeRegexMatch(regex)) => Kind::Value(StringMatcher::Regex(
                Box::new(Regex::from_config(regex).within("safe_regex_match")?),
            )),
            Some(HeaderMatchSpecifier::StringMatch(config)) => {
                Kind::Value(StringMatcher::from_config(config).within("string_match")?)
            }
        };
        Ok(HeaderMatcher {
            name: HeaderName::of_request(name),
            kind,
            invert: *invert_match,
            missing_as_empty: *treat_missing_header_as_empty,
        })
    }

    /// Compiles all messages of a repeated field; every error is reported under `field`.
    ///
    /// # Errors
    /// Those of [`HeaderMatcher::from_config`].
    pub fn all_from_config(
        configs: &[api::route::HeaderMatcher],
        field: &str,
    ) -> Result<Box<[HeaderMatcher]>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut matchers = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            match HeaderMatcher::from_config(config).within_index(field, index) {
                Ok(matcher) => matchers.push(matcher),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(matchers.into())
        } else {
            Err(errors)
        }
    }

    /// Whether the headers match.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(self.name.as_ref());
        let found = match values.next() {
            Some(first) => match self.kind {
                Kind::Present(present) => present,
                _ => self.value_matches(first) || values.any(|value| self.value_matches(value)),
            },
            None => match self.kind {
                Kind::Present(present) => present == self.missing_as_empty,
                _ if self.missing_as_empty => self.value_matches(b""),
                _ => return false,
            },
        };
        found != self.invert
    }

    fn value_matches(&self, value: &[u8]) -> bool {
        match &self.kind {
            Kind::Present(present) => *present,
            Kind::Any => true,
            Kind::Value(matcher) => matcher.matches(value),
            Kind::Range(start, end) => {
                integer(value).is_some_and(|value| *start <= value && value < *end)
            }
        }
    }
}

/// Whether all matchers match.
pub fn all_headers_match(matchers: &[HeaderMatcher], headers: &HeaderMap) -> bool {
    matchers.iter().all(|matcher| matcher.matches(headers))
}

/// A decimal integer with optional sign and blanks around it.
fn integer(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_config::api::matcher::StringMatcher as StringConfig;
    use nuncio_config::api::matcher::string_matcher::MatchPattern;
    use nuncio_config::api::types::Int64Range;

    /// What Envoy 1.40 answered for these values of header `x`, one character each.
    const CASES: [&[&str]; 11] = [
        &[],
        &["a"],
        &[""],
        &["a", "b"],
        &["b", "a"],
        &["a,b"],
        &["5"],
        &["5", "50"],
        &["b", "c"],
        &["+5"],
        &["5x"],
    ];

    fn row(
        specifier: Option<HeaderMatchSpecifier>,
        invert_match: bool,
        treat_missing_header_as_empty: bool,
    ) -> String {
        let config = api::route::HeaderMatcher {
            name: "X".into(),
            invert_match,
            treat_missing_header_as_empty,
            header_match_specifier: specifier,
        };
        let matcher = HeaderMatcher::from_config(&config).unwrap();
        let case = |values: &&[&str]| {
            let headers: HeaderMap = values.iter().map(|value| ("x", value)).collect();
            if matcher.matches(&headers) { 'Y' } else { 'n' }
        };
        CASES.iter().map(case).collect()
    }

    #[test]
    #[expect(deprecated, reason = "Envoy still takes these fields")]
    fn answers_are_those_of_envoy() {
        let exact = |text: &str| {
            let match_pattern = Some(MatchPattern::Exact(text.into()));
            Some(HeaderMatchSpecifier::StringMatch(StringConfig {
                ignore_case: false,
                match_pattern,
            }))
        };
        let present = |yes| Some(HeaderMatchSpecifier::PresentMatch(yes));
        let range = Some(HeaderMatchSpecifier::RangeMatch(Int64Range {
            start: 1,
            end: 10,
        }));
        assert_eq!(row(exact("a"), false, false), "nYnYYnnnnnn");
        assert_eq!(row(exact("a"), true, false), "nnYnnYYYYYY");
        assert_eq!(row(exact("a,b"), false, false), "nnnnnYnnnnn");
        assert_eq!(row(present(true), false, false), "nYYYYYYYYYY");
        assert_eq!(row(present(false), false, false), "Ynnnnnnnnnn");
        assert_eq!(row(present(true), true, false), "Ynnnnnnnnnn");
        assert_eq!(row(None, false, false), "nYYYYYYYYYY");
        assert_eq!(row(exact(""), false, true), "YnYnnnnnnnn");
        assert_eq!(row(exact("a"), true, true), "YnYnnYYYYYY");
        assert_eq!(
            row(
                Some(HeaderMatchSpecifier::ExactMatch(String::new())),
                false,
                false
            ),
            "nYYYYYYYYYY"
        );
        assert_eq!(
            row(
                Some(HeaderMatchSpecifier::ExactMatch("a".into())),
                false,
                false
            ),
            "nYnYYnnnnnn"
        );
        assert_eq!(row(range.clone(), false, false), "nnnnnnYYnYn");
        assert_eq!(row(range, true, false), "nYYYYYnnYnY");
        assert_eq!(row(present(true), false, true), "YYYYYYYYYYY");
        assert_eq!(row(present(false), false, true), "nnnnnnnnnnn");
    }

    #[test]
    fn host_is_the_authority() {
        let config = api::route::HeaderMatcher {
            name: "Host".into(),
            ..Default::default()
        };
        let headers: HeaderMap = [(":authority", "h")].into_iter().collect();
        assert!(
            HeaderMatcher::from_config(&config)
                .unwrap()
                .matches(&headers)
        );
    }
}
