//! `envoy.type.matcher.v3.StringMatcher`.

use memchr::memmem;
use nuncio_config::api::matcher::string_matcher::MatchPattern;
use nuncio_config::api::xds_matcher::string_matcher::MatchPattern as XdsPattern;
use nuncio_config::{ConfigError, Within, api};

use crate::regex::Regex;

/// Matches a string of bytes. `ignore_case` folds ASCII letters only, as in Envoy.
#[derive(Debug)]
pub enum StringMatcher {
    /// The whole string.
    Exact(Box<[u8]>),
    /// The whole string, ASCII case folded.
    ExactFolded(Box<[u8]>),
    /// Its beginning.
    Prefix(Box<[u8]>),
    /// Its beginning, ASCII case folded.
    PrefixFolded(Box<[u8]>),
    /// Its end.
    Suffix(Box<[u8]>),
    /// Its end, ASCII case folded.
    SuffixFolded(Box<[u8]>),
    /// Any part of it.
    Contains(Box<memmem::Finder<'static>>),
    /// Any part of it, ASCII case folded; the needle is lower case.
    ContainsFolded(Box<[u8]>),
    /// The whole string, as a regex.
    Regex(Box<Regex>),
}

impl StringMatcher {
    /// Compiles the message.
    ///
    /// # Errors
    /// When no pattern is set, one is not valid, or it is an extension (`custom`).
    pub fn from_config(config: &api::matcher::StringMatcher) -> Result<StringMatcher, ConfigError> {
        let api::matcher::StringMatcher {
            ignore_case,
            match_pattern,
        } = config;
        let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
        Ok(match (match_pattern, ignore_case) {
            (None, _) => return Err(ConfigError::new("", "a match pattern is required")),
            (Some(MatchPattern::Exact(text)), false) => StringMatcher::Exact(bytes(text)),
            (Some(MatchPattern::Exact(text)), true) => StringMatcher::ExactFolded(bytes(text)),
            (Some(MatchPattern::Prefix(text)), false) => StringMatcher::Prefix(bytes(text)),
            (Some(MatchPattern::Prefix(text)), true) => StringMatcher::PrefixFolded(bytes(text)),
            (Some(MatchPattern::Suffix(text)), false) => StringMatcher::Suffix(bytes(text)),
            (Some(MatchPattern::Suffix(text)), true) => StringMatcher::SuffixFolded(bytes(text)),
            (Some(MatchPattern::Contains(text)), false) => StringMatcher::contains(text),
            (Some(MatchPattern::Contains(text)), true) => {
                StringMatcher::ContainsFolded(text.to_ascii_lowercase().into_bytes().into())
            }
            (Some(MatchPattern::SafeRegex(_)), true) => {
                return Err(ConfigError::new(
                    "ignore_case",
                    "ignore_case has no effect for safe_regex.",
                ));
            }
            (Some(MatchPattern::SafeRegex(regex)), false) => {
                StringMatcher::Regex(Box::new(Regex::from_config(regex).within("safe_regex")?))
            }
            (Some(MatchPattern::Custom(_)), _) => {
                return Err(ConfigError::new(
                    "custom",
                    "unsupported: string matcher extensions",
                ));
            }
        })
    }

    /// Compiles the message's twin of the xDS API.
    ///
    /// # Errors
    /// As [`StringMatcher::from_config`].
    pub fn from_xds(
        config: &api::xds_matcher::StringMatcher,
    ) -> Result<StringMatcher, ConfigError> {
        let api::xds_matcher::StringMatcher {
            ignore_case,
            match_pattern,
        } = config;
        let match_pattern = match_pattern.as_ref().map(|pattern| match pattern {
            XdsPattern::Exact(text) => Ok(MatchPattern::Exact(text.clone())),
            XdsPattern::Prefix(text) => Ok(MatchPattern::Prefix(text.clone())),
            XdsPattern::Suffix(text) => Ok(MatchPattern::Suffix(text.clone())),
            XdsPattern::Contains(text) => Ok(MatchPattern::Contains(text.clone())),
            XdsPattern::SafeRegex(api::xds_matcher::RegexMatcher {
                regex,
                // The only engine there is.
                engine_type: _,
            }) => Ok(MatchPattern::SafeRegex(api::matcher::RegexMatcher {
                regex: regex.clone(),
                ..Default::default()
            })),
            XdsPattern::Custom(_) => Err(ConfigError::new(
                "custom",
                "unsupported: string matcher extensions",
            )),
        });
        StringMatcher::from_config(&api::matcher::StringMatcher {
            ignore_case: *ignore_case,
            match_pattern: match_pattern.transpose()?,
        })
    }

    /// Matches any string that contains `needle`.
    pub fn contains(needle: &str) -> StringMatcher {
        StringMatcher::Contains(Box::new(
            memmem::Finder::new(needle.as_bytes()).into_owned(),
        ))
    }

    /// Whether `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        let head = |length: usize| value.get(..length);
        let tail = |length: usize| value.len().checked_sub(length).map(|from| &value[from..]);
        match self {
            StringMatcher::Exact(text) => value == &**text,
            StringMatcher::ExactFolded(text) => value.eq_ignore_ascii_case(text),
            StringMatcher::Prefix(text) => value.starts_with(text),
            StringMatcher::PrefixFolded(text) => {
                head(text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
            }
            StringMatcher::Suffix(text) => value.ends_with(text),
            StringMatcher::SuffixFolded(text) => {
                tail(text.len()).is_some_and(|tail| tail.eq_ignore_ascii_case(text))
            }
            StringMatcher::Contains(finder) => finder.find(value).is_some(),
            StringMatcher::ContainsFolded(text) => contains_folded(value, text),
            StringMatcher::Regex(regex) => regex.is_match(value),
        }
    }
}

fn contains_folded(value: &[u8], lower: &[u8]) -> bool {
    let Some(&first) = lower.first() else {
        return true;
    };
    let mut from = 0;
    while let Some(at) = memchr::memchr2(first, first.to_ascii_uppercase(), &value[from..]) {
        let start = from + at;
        match value.get(start..start + lower.len()) {
            Some(part) if part.eq_ignore_ascii_case(lower) => return true,
            Some(_) => from = start + 1,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use nuncio_config::api::matcher::RegexMatcher;

    fn matcher(pattern: MatchPattern, ignore_case: bool) -> StringMatcher {
        let config = api::matcher::StringMatcher {
            ignore_case,
            match_pattern: Some(pattern),
        };
        StringMatcher::from_config(&config).unwrap()
    }

    #[test]
    fn every_kind() {
        let check = |pattern: MatchPattern, ignore_case: bool, yes: &[&str], no: &[&str]| {
            let matcher = matcher(pattern, ignore_case);
            for text in yes {
                assert!(matcher.matches(text.as_bytes()), "{matcher:?} {text}");
            }
            for text in no {
                assert!(!matcher.matches(text.as_bytes()), "{matcher:?} {text}");
            }
        };
        check(
            MatchPattern::Exact("Ab".into()),
            false,
            &["Ab"],
            &["ab", "Abc", ""],
        );
        check(
            MatchPattern::Exact("Ab".into()),
            true,
            &["aB", "AB"],
            &["Abc", "b"],
        );
        check(
            MatchPattern::Prefix("Ab".into()),
            false,
            &["Ab", "Abc"],
            &["ab", "A", "xAb"],
        );
        check(
            MatchPattern::Prefix("Ab".into()),
            true,
            &["abc"],
            &["a", "xab"],
        );
        check(
            MatchPattern::Suffix("Ab".into()),
            false,
            &["Ab", "cAb"],
            &["ab", "b", "Abx"],
        );
        check(
            MatchPattern::Suffix("Ab".into()),
            true,
            &["cab", "AB"],
            &["b", "abx"],
        );
        check(
            MatchPattern::Contains("Ab".into()),
            false,
            &["xAbx"],
            &["xabx", ""],
        );
        check(
            MatchPattern::Contains("Ab".into()),
            true,
            &["xabx", "aAB"],
            &["xa", "ba", "a"],
        );
        let regex = RegexMatcher {
            regex: "a+".into(),
            engine_type: None,
        };
        check(
            MatchPattern::SafeRegex(regex),
            false,
            &["aa"],
            &["aab", "A"],
        );
    }

    #[test]
    fn what_is_refused() {
        let error = |match_pattern, ignore_case| {
            let config = api::matcher::StringMatcher {
                ignore_case,
                match_pattern,
            };
            StringMatcher::from_config(&config).unwrap_err()
        };
        assert_eq!(error(None, false).message, "a match pattern is required");
        let regex = |regex: &str| {
            Some(MatchPattern::SafeRegex(RegexMatcher {
                regex: regex.into(),
                engine_type: None,
            }))
        };
        assert_eq!(
            error(regex("a"), true).message,
            "ignore_case has no effect for safe_regex."
        );
        assert_eq!(
            error(regex("[b"), false).to_string(),
            "safe_regex.regex: missing ]: [b"
        );
        assert_eq!(
            error(Some(MatchPattern::Custom(Default::default())), false).path,
            "custom"
        );
    }
}
