//! `envoy.type.matcher.v3.FilterStateMatcher` over a stream's filter state.

use nuncio_config::api::matcher::filter_state_matcher::Matcher;
use nuncio_config::api::matcher::{self as api, AddressMatcher};
use nuncio_config::api::xds_core::CidrRange;
use nuncio_config::{ConfigError, Within, convert};
use nuncio_net::{Address, IpRange};
use nuncio_sdk::filter_state::{AddressObject, FilterState};

use super::StringMatcher;
use crate::matching::AddressSet;

/// Matches one object of the filter state; one that is not there matches nothing.
#[derive(Debug)]
pub struct FilterStateMatcher {
    key: Box<str>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The object's text.
    Text(StringMatcher),
    /// An address that is in the set, or is not; objects of other kinds never match.
    Address { set: AddressSet, invert: bool },
}

impl FilterStateMatcher {
    /// Compiles the message.
    ///
    /// # Errors
    /// When a required part is missing or not valid.
    pub fn from_config(
        config: &api::FilterStateMatcher,
    ) -> Result<FilterStateMatcher, ConfigError> {
        let api::FilterStateMatcher { key, matcher } = config;
        if key.is_empty() {
            return Err(ConfigError::new(
                "key",
                "value length must be at least 1 characters",
            ));
        }
        let kind = match matcher {
            None => return Err(ConfigError::new("", "a matcher is required")),
            Some(Matcher::StringMatch(config)) => {
                Kind::Text(StringMatcher::from_config(config).within("string_match")?)
            }
            Some(Matcher::AddressMatch(AddressMatcher {
                ranges,
                invert_match,
            })) => {
                let mut set = AddressSet::default();
                for (index, config) in ranges.iter().enumerate() {
                    set.add(range(config).within_index("address_match.ranges", index)?);
                }
                Kind::Address {
                    set,
                    invert: *invert_match,
                }
            }
        };
        Ok(FilterStateMatcher {
            key: key.as_str().into(),
            kind,
        })
    }

    /// Whether the object matches.
    pub fn matches(&self, state: Option<&FilterState>) -> bool {
        let Some(state) = state else { return false };
        match &self.kind {
            Kind::Text(matcher) => {
                let text = state.get(&self.key).and_then(|object| object.text());
                text.is_some_and(|text| matcher.matches(text.as_bytes()))
            }
            Kind::Address { set, invert } => state
                .get_as(&self.key)
                .and_then(|AddressObject(address)| address.ip())
                .is_some_and(|address| set.contains(address.ip()) != *invert),
        }
    }
}

fn range(config: &CidrRange) -> Result<IpRange, ConfigError> {
    let CidrRange {
        address_prefix,
        prefix_len,
    } = config;
    let length = convert::u32_or(prefix_len.as_ref(), 0);
    let address = Address::parse_ip(address_prefix, 0).ok();
    match address.as_ref().and_then(Address::ip) {
        Some(address) => Ok(IpRange::new(address.ip(), length)),
        None => {
            let message = format!(
                "invalid ip/mask combo '{address_prefix}/{length}' (format is <ip>/<# mask bits>)"
            );
            Err(ConfigError::new("address_prefix", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use nuncio_config::api::matcher::string_matcher::MatchPattern;
    use nuncio_config::api::protobuf::UInt32Value;
    use nuncio_sdk::filter_state::TextObject;

    use super::*;

    fn matcher(matcher: Matcher) -> FilterStateMatcher {
        let config = api::FilterStateMatcher {
            key: "k".into(),
            matcher: Some(matcher),
        };
        FilterStateMatcher::from_config(&config).unwrap()
    }

    fn addresses(prefix: &str, invert_match: bool) -> AddressMatcher {
        AddressMatcher {
            ranges: vec![CidrRange {
                address_prefix: prefix.into(),
                prefix_len: Some(UInt32Value { value: 8 }),
            }],
            invert_match,
        }
    }

    /// What Envoy 1.40 answered.
    #[test]
    fn texts_and_addresses() {
        let text = matcher(Matcher::StringMatch(api::StringMatcher {
            ignore_case: false,
            match_pattern: Some(MatchPattern::Prefix("10.".into())),
        }));
        let inside = matcher(Matcher::AddressMatch(addresses("10.0.0.0", false)));
        let outside = matcher(Matcher::AddressMatch(addresses("10.0.0.0", true)));
        let answers = |state: Option<&FilterState>| {
            [&text, &inside, &outside].map(|matcher| matcher.matches(state))
        };
        assert_eq!(answers(None), [false; 3]);
        let mut state = FilterState::default();
        assert_eq!(answers(Some(&state)), [false; 3]);
        state.set("k", Rc::new(TextObject("10.1.1.1".into())));
        assert_eq!(answers(Some(&state)), [true, false, false]);
        let address = |text: &str| AddressObject(Address::parse_ip_and_port(text).unwrap());
        state.set("k", Rc::new(address("10.1.1.1:80")));
        assert_eq!(answers(Some(&state)), [true, true, false]);
        state.set("k", Rc::new(address("[::1]:80")));
        assert_eq!(answers(Some(&state)), [false, false, true]);
    }

    #[test]
    fn errors() {
        let error = |key: &str, matcher| {
            let config = api::FilterStateMatcher {
                key: key.into(),
                matcher,
            };
            FilterStateMatcher::from_config(&config).unwrap_err().path
        };
        let good = || Some(Matcher::AddressMatch(addresses("::", false)));
        let bad = Some(Matcher::AddressMatch(addresses("x", false)));
        assert_eq!(error("", good()), "key");
        assert_eq!(error("k", None), "");
        assert_eq!(error("k", bad), "address_match.ranges[0].address_prefix");
    }
}
