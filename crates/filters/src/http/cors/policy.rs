//! `CorsPolicy`, of one level and of all that apply to a request.

use std::sync::Arc;

use nuncio_config::api::cors::CorsPolicy;
use nuncio_config::api::protobuf::BoolValue;
use nuncio_config::{ConfigError, Within};
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::route::{self, CORS_FIELD, RouteView};
use nuncio_sdk::runtime::{Runtime, RuntimeFraction};

/// What one level says; what is absent or empty is for the next one.
pub(super) struct Policy {
    /// `filter_enabled`; absent: always.
    enabled: Option<RuntimeFraction>,
    /// `shadow_enabled`: origins are counted, and nothing else is done. Absent: never.
    shadow: Option<RuntimeFraction>,
    origins: Box<[StringMatcher]>,
    methods: Box<[u8]>,
    headers: Box<[u8]>,
    exposed: Box<[u8]>,
    max_age: Box<[u8]>,
    credentials: Option<bool>,
    private_network: Option<bool>,
    forward_not_matching: Option<bool>,
}

impl Policy {
    pub(super) fn new(config: &CorsPolicy, runtime: &Arc<Runtime>) -> Result<Policy, ConfigError> {
        let CorsPolicy {
            allow_origin_string_match,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age,
            allow_credentials,
            filter_enabled,
            shadow_enabled,
            allow_private_network_access,
            forward_not_matching_preflights,
        } = config;
        let origins = allow_origin_string_match.iter().enumerate();
        let origins = origins.map(|(index, matcher)| {
            StringMatcher::from_config(matcher).within_index("allow_origin_string_match", index)
        });
        let value = |value: &Option<BoolValue>| value.as_ref().map(|value| value.value);
        Ok(Policy {
            enabled: filter_enabled
                .as_ref()
                .map(|share| runtime.share(share))
                .transpose()
                .within("filter_enabled")?,
            shadow: shadow_enabled
                .as_ref()
                .map(|share| runtime.share(share))
                .transpose()
                .within("shadow_enabled")?,
            origins: origins.collect::<Result<_, _>>()?,
            methods: allow_methods.as_bytes().into(),
            headers: allow_headers.as_bytes().into(),
            exposed: expose_headers.as_bytes().into(),
            max_age: max_age.as_bytes().into(),
            credentials: value(allow_credentials),
            private_network: value(allow_private_network_access),
            forward_not_matching: value(forward_not_matching_preflights),
        })
    }
}

/// The policies of a request, the most specific one first. Each setting is that of the first policy that has it; whether
/// the filter is on, only the first one says.
pub(super) struct Policies<'a>(Vec<&'a Policy>);

impl<'a> Policies<'a> {
    /// Those that are configured for this filter; without any, those of the fields `cors` of virtual host and route.
    pub(super) fn of(route: &'a dyn RouteView, filter: &str) -> Policies<'a> {
        let levels = |name: &str| -> Vec<&'a Policy> {
            route::all_levels(route.per_filter_configs(), name).collect()
        };
        let mut policies = levels(filter);
        if policies.is_empty() {
            policies = levels(CORS_FIELD);
        }
        policies.reverse();
        Policies(policies)
    }

    pub(super) fn enabled(&self) -> bool {
        self.0.first().is_some_and(|policy| match &policy.enabled {
            Some(share) => share.hit(rand::random()),
            None => true,
        })
    }

    pub(super) fn shadow_enabled(&self) -> bool {
        let share = self.0.first().and_then(|policy| policy.shadow.as_ref());
        share.is_some_and(|share| share.hit(rand::random()))
    }

    /// Whether pages of this origin may read responses.
    pub(super) fn allow(&self, origin: &[u8]) -> bool {
        let origins = self.0.iter().map(|policy| &policy.origins);
        let origins = origins.into_iter().find(|origins| !origins.is_empty());
        origins.is_some_and(|origins| {
            let mut origins = origins.iter();
            origins.any(|matcher| matcher.matches(b"*") || matcher.matches(origin))
        })
    }

    /// Whether preflight requests of origins that are not allowed are for the upstream to answer.
    pub(super) fn forward_not_matching(&self) -> bool {
        self.switch(|policy| policy.forward_not_matching)
            .unwrap_or(true)
    }

    pub(super) fn allow_credentials(&self) -> bool {
        self.switch(|policy| policy.credentials).unwrap_or(false)
    }

    pub(super) fn allow_private_network(&self) -> bool {
        self.switch(|policy| policy.private_network)
            .unwrap_or(false)
    }

    pub(super) fn allow_methods(&self) -> Option<&'a [u8]> {
        self.text(|policy| &policy.methods)
    }

    pub(super) fn allow_headers(&self) -> Option<&'a [u8]> {
        self.text(|policy| &policy.headers)
    }

    pub(super) fn expose_headers(&self) -> Option<&'a [u8]> {
        self.text(|policy| &policy.exposed)
    }

    pub(super) fn max_age(&self) -> Option<&'a [u8]> {
        self.text(|policy| &policy.max_age)
    }

    fn switch(&self, of: impl Fn(&Policy) -> Option<bool>) -> Option<bool> {
        self.0.iter().find_map(|policy| of(policy))
    }

    fn text(&self, of: impl Fn(&'a Policy) -> &'a [u8]) -> Option<&'a [u8]> {
        let mut texts = self.0.iter().map(|policy| of(policy));
        texts.find(|text| !text.is_empty())
    }
}
