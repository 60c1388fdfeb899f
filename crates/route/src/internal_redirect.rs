//! Redirects of an upstream that the proxy follows itself (`InternalRedirectPolicy`).

use nuncio_config::api::allow_listed_routes::AllowListedRoutesConfig;
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::route::InternalRedirectPolicy as Message;
use nuncio_config::{ConfigError, any};
use nuncio_http::HeaderMap;

use crate::matchers::HeaderName;

/// Statuses that may be redirects; others of the configuration are passed over, as in Envoy.
const REDIRECTS: [u32; 5] = [301, 302, 303, 307, 308];

/// `InternalRedirectPolicy`
#[derive(Debug)]
pub struct InternalRedirect {
    /// `max_internal_redirects`: how many a request may have seen.
    pub max: u32,
    /// `redirect_response_codes`; 302 unless configured.
    pub statuses: Box<[u16]>,
    /// `allow_cross_scheme_redirect`
    pub cross_scheme: bool,
    /// `response_headers_to_copy`: from the answer into the new request, or removed from it.
    pub(crate) copied: Box<[HeaderName]>,
    /// `predicates`, all of which must agree.
    pub predicates: Box<[RedirectPredicate]>,
}

/// `InternalRedirectPolicy.predicates`
#[derive(Debug)]
pub enum RedirectPredicate {
    /// `allow_listed_routes`: only to routes of these names.
    AllowListedRoutes(Box<[Box<str>]>),
    /// `previous_routes`: not twice from one route to the same other one.
    PreviousRoutes,
    /// `safe_cross_scheme`: not from `http` to `https`.
    SafeCrossScheme,
}

impl InternalRedirect {
    /// What `internal_redirect_action: HANDLE_INTERNAL_REDIRECT` means.
    pub(crate) fn of_action(max: Option<u32>) -> InternalRedirect {
        InternalRedirect {
            max: max.unwrap_or(1),
            statuses: [302].into(),
            cross_scheme: false,
            copied: Box::default(),
            predicates: Box::default(),
        }
    }

    /// # Errors
    /// Everything that is wrong, with paths relative to the message.
    pub(crate) fn from_config(message: &Message) -> Result<InternalRedirect, Vec<ConfigError>> {
        let Message {
            max_internal_redirects,
            redirect_response_codes,
            predicates,
            allow_cross_scheme_redirect,
            response_headers_to_copy,
        } = message;
        let mut errors = Vec::new();
        let statuses = match redirect_response_codes.is_empty() {
            true => [302].into(),
            false => (redirect_response_codes.iter())
                .filter(|code| REDIRECTS.contains(code))
                .filter_map(|code| u16::try_from(*code).ok())
                .collect(),
        };
        if redirect_response_codes.len() > REDIRECTS.len() {
            errors.push(ConfigError::new(
                "redirect_response_codes",
                "value must contain no more than 5 item(s)",
            ));
        }
        for (index, name) in response_headers_to_copy.iter().enumerate() {
            if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
                errors.push(ConfigError::new(
                    format!("response_headers_to_copy[{index}]"),
                    ":-prefixed headers or Hosts may not be specified here.",
                ));
            }
        }
        let mut all = Vec::with_capacity(predicates.len());
        for (index, config) in predicates.iter().enumerate() {
            match RedirectPredicate::from_config(config) {
                Ok(predicate) => all.push(predicate),
                Err(error) => errors.push(error.within(format_args!("predicates[{index}]"))),
            }
        }
        let policy = InternalRedirect {
            max: max_internal_redirects.as_ref().map_or(1, |max| max.value),
            statuses,
            cross_scheme: *allow_cross_scheme_redirect,
            copied: (response_headers_to_copy.iter())
                .map(|name| HeaderName::of_request(name))
                .collect(),
            predicates: all.into(),
        };
        match errors.is_empty() {
            true => Ok(policy),
            false => Err(errors),
        }
    }
}

impl InternalRedirect {
    /// Copies what is to be copied from an answer into the next request; what the answer does not have is removed there.
    pub fn copy_headers(&self, answer: &HeaderMap, request: &mut HeaderMap) {
        for name in &self.copied {
            request.remove(name.as_ref());
            for value in answer.get_all(name.as_ref()) {
                request.append(name.as_ref(), value);
            }
        }
    }
}

impl RedirectPredicate {
    fn from_config(config: &TypedExtensionConfig) -> Result<RedirectPredicate, ConfigError> {
        let Some(config) = &config.typed_config else {
            return Err(ConfigError::new("typed_config", "value is required"));
        };
        // Two of the messages are empty.
        match any::type_of(config) {
            "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig" => {
                let AllowListedRoutesConfig {
                    allowed_route_names,
                } = any::unpack(config)?;
                let names = allowed_route_names.into_iter().map(String::into_boxed_str);
                Ok(RedirectPredicate::AllowListedRoutes(names.collect()))
            }
            "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig" => {
                Ok(RedirectPredicate::PreviousRoutes)
            }
            "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig" => {
                Ok(RedirectPredicate::SafeCrossScheme)
            }
            other => Err(ConfigError::new(
                "typed_config",
                format!("unsupported: the redirect predicate {other} is not implemented"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::protobuf::UInt32Value;

    use super::*;

    #[test]
    fn statuses_that_are_no_redirects_are_passed_over() {
        let message = Message {
            redirect_response_codes: vec![301, 400, 308],
            max_internal_redirects: Some(UInt32Value { value: 7 }),
            ..Message::default()
        };
        let policy = InternalRedirect::from_config(&message).unwrap();
        assert_eq!(*policy.statuses, [301, 308]);
        assert_eq!(policy.max, 7);
        let policy = InternalRedirect::from_config(&Message::default()).unwrap();
        assert_eq!((policy.max, &*policy.statuses), (1, &[302][..]));
    }

    #[test]
    fn the_host_is_not_copied_and_predicates_are_known() {
        let message = Message {
            response_headers_to_copy: vec!["x-a".into(), ":path".into(), "Host".into()],
            predicates: vec![TypedExtensionConfig::default()],
            ..Message::default()
        };
        let errors = InternalRedirect::from_config(&message).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.to_string()).collect();
        assert_eq!(paths.len(), 3, "{paths:?}");
    }
}
