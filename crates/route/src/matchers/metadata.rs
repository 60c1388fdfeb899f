//! `envoy.type.matcher.v3.MetadataMatcher` over the stream's dynamic metadata.

use nuncio_config::api::matcher::double_matcher::MatchPattern as DoublePattern;
use nuncio_config::api::matcher::list_matcher::MatchPattern as ListPattern;
use nuncio_config::api::matcher::metadata_matcher::PathSegment;
use nuncio_config::api::matcher::metadata_matcher::path_segment::Segment;
use nuncio_config::api::matcher::value_matcher::MatchPattern;
use nuncio_config::api::matcher::{self as api, DoubleMatcher, ListMatcher, OrMatcher};
use nuncio_config::api::protobuf::Value;
use nuncio_config::api::protobuf::value::Kind;
use nuncio_config::{ConfigError, Within};
use nuncio_sdk::metadata::DynamicMetadata;

use super::StringMatcher;

/// Matches one value of the dynamic metadata.
#[derive(Debug)]
pub struct MetadataMatcher {
    filter: Box<str>,
    path: Box<[Box<str>]>,
    value: ValueMatcher,
    invert: bool,
}

/// `envoy.type.matcher.v3.ValueMatcher`
#[derive(Debug)]
pub(crate) enum ValueMatcher {
    Null,
    Exactly(f64),
    /// Start inclusive, end exclusive.
    Range(f64, f64),
    String(StringMatcher),
    Bool(bool),
    Present(bool),
    OneOf(Box<ValueMatcher>),
    AnyOf(Box<[ValueMatcher]>),
}

impl MetadataMatcher {
    /// Compiles the message.
    ///
    /// # Errors
    /// When a required part is missing or not valid.
    pub fn from_config(config: &api::MetadataMatcher) -> Result<MetadataMatcher, ConfigError> {
        let api::MetadataMatcher {
            filter,
            path,
            value,
            invert,
        } = config;
        if filter.is_empty() {
            return Err(ConfigError::new(
                "filter",
                "value length must be at least 1 characters",
            ));
        }
        if path.is_empty() {
            return Err(ConfigError::new(
                "path",
                "value must contain at least 1 item(s)",
            ));
        }
        let mut keys = Vec::with_capacity(path.len());
        for (index, PathSegment { segment }) in path.iter().enumerate() {
            match segment {
                Some(Segment::Key(key)) if !key.is_empty() => {
                    keys.push(Box::<str>::from(key.as_str()))
                }
                _ => {
                    return Err(ConfigError::new(
                        format!("path[{index}].key"),
                        "value is required",
                    ));
                }
            }
        }
        let Some(value) = value else {
            return Err(ConfigError::new("value", "value is required"));
        };
        Ok(MetadataMatcher {
            filter: filter.as_str().into(),
            path: keys.into(),
            value: ValueMatcher::from_config(value).within("value")?,
            invert: *invert,
        })
    }

    /// Whether the metadata match; absent metadata are empty.
    pub fn matches(&self, metadata: Option<&DynamicMetadata>) -> bool {
        let value = metadata
            .and_then(|metadata| metadata.get(&self.filter, self.path.iter().map(|key| &**key)));
        self.value
            .matches(value.and_then(|value| value.kind.as_ref()))
            != self.invert
    }
}

impl ValueMatcher {
    /// Compiles the message.
    pub(crate) fn from_config(config: &api::ValueMatcher) -> Result<ValueMatcher, ConfigError> {
        let api::ValueMatcher { match_pattern } = config;
        Ok(match match_pattern {
            None => return Err(ConfigError::new("", "a match pattern is required")),
            Some(MatchPattern::NullMatch(_)) => ValueMatcher::Null,
            Some(MatchPattern::DoubleMatch(DoubleMatcher { match_pattern })) => match match_pattern
            {
                None => {
                    return Err(ConfigError::new(
                        "double_match",
                        "a match pattern is required",
                    ));
                }
                Some(DoublePattern::Range(range)) => ValueMatcher::Range(range.start, range.end),
                Some(DoublePattern::Exact(value)) => ValueMatcher::Exactly(*value),
            },
            Some(MatchPattern::StringMatch(matcher)) => {
                ValueMatcher::String(StringMatcher::from_config(matcher).within("string_match")?)
            }
            Some(MatchPattern::BoolMatch(value)) => ValueMatcher::Bool(*value),
            Some(MatchPattern::PresentMatch(present)) => ValueMatcher::Present(*present),
            Some(MatchPattern::ListMatch(list)) => match &**list {
                ListMatcher {
                    match_pattern: Some(ListPattern::OneOf(value)),
                } => ValueMatcher::OneOf(Box::new(
                    ValueMatcher::from_config(value).within("list_match.one_of")?,
                )),
                ListMatcher {
                    match_pattern: None,
                } => {
                    return Err(ConfigError::new(
                        "list_match",
                        "a match pattern is required",
                    ));
                }
            },
            Some(MatchPattern::OrMatch(OrMatcher { value_matchers })) => {
                if value_matchers.len() < 2 {
                    let message = "value must contain at least 2 item(s)";
                    return Err(ConfigError::new("or_match.value_matchers", message));
                }
                let each = value_matchers.iter().enumerate();
                let all: Result<Vec<_>, _> = each
                    .map(|(index, value)| {
                        ValueMatcher::from_config(value)
                            .within_index("or_match.value_matchers", index)
                    })
                    .collect();
                ValueMatcher::AnyOf(all?.into())
            }
        })
    }
}

impl ValueMatcher {
    /// Whether the value matches; absent is one that may be asked for.
    pub(crate) fn matches(&self, value: Option<&Kind>) -> bool {
        match (self, value) {
            (ValueMatcher::Present(present), value) => value.is_some() == *present,
            (ValueMatcher::AnyOf(matchers), value) => {
                matchers.iter().any(|matcher| matcher.matches(value))
            }
            (ValueMatcher::Null, Some(Kind::NullValue(_))) => true,
            (ValueMatcher::Exactly(wanted), Some(Kind::NumberValue(number))) => number == wanted,
            (ValueMatcher::Range(start, end), Some(Kind::NumberValue(number))) => {
                start <= number && number < end
            }
            (ValueMatcher::String(matcher), Some(Kind::StringValue(text))) => {
                matcher.matches(text.as_bytes())
            }
            (ValueMatcher::Bool(wanted), Some(Kind::BoolValue(value))) => value == wanted,
            (ValueMatcher::OneOf(matcher), Some(Kind::ListValue(list))) => list
                .values
                .iter()
                .any(|Value { kind }| matcher.matches(kind.as_ref())),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(pattern: MatchPattern, invert: bool) -> MetadataMatcher {
        let segment = |key: &str| PathSegment {
            segment: Some(Segment::Key(key.into())),
        };
        MetadataMatcher::from_config(&api::MetadataMatcher {
            filter: "f".into(),
            path: vec![segment("k")],
            value: Some(api::ValueMatcher {
                match_pattern: Some(pattern),
            }),
            invert,
        })
        .unwrap()
    }

    #[test]
    fn kinds_of_values() {
        let mut metadata = DynamicMetadata::default();
        assert!(matcher(MatchPattern::PresentMatch(false), false).matches(None));
        assert!(!matcher(MatchPattern::BoolMatch(false), false).matches(Some(&metadata)));
        assert!(matcher(MatchPattern::BoolMatch(false), true).matches(Some(&metadata)));
        metadata.set(
            "f",
            "k",
            Value {
                kind: Some(Kind::NumberValue(5.0)),
            },
        );
        let double = |pattern| {
            MatchPattern::DoubleMatch(DoubleMatcher {
                match_pattern: Some(pattern),
            })
        };
        assert!(matcher(double(DoublePattern::Exact(5.0)), false).matches(Some(&metadata)));
        assert!(!matcher(double(DoublePattern::Exact(6.0)), false).matches(Some(&metadata)));
        assert!(matcher(MatchPattern::PresentMatch(true), false).matches(Some(&metadata)));
        let either = MatchPattern::OrMatch(OrMatcher {
            value_matchers: [
                MatchPattern::BoolMatch(true),
                double(DoublePattern::Exact(5.0)),
            ]
            .map(|pattern| api::ValueMatcher {
                match_pattern: Some(pattern),
            })
            .to_vec(),
        });
        assert!(matcher(either, false).matches(Some(&metadata)));
    }
}
