//! When a request is tried again (`RetryPolicy`).

use std::time::Duration;

use nuncio_config::api::omit_host_metadata::OmitHostMetadataConfig;
use nuncio_config::api::previous_priorities::PreviousPrioritiesConfig;
use nuncio_config::api::route::RetryPolicy as Message;
use nuncio_config::api::route::retry_policy::{
    RateLimitedRetryBackOff, ResetHeaderFormat, RetryBackOff, RetryHostPredicate, RetryPriority,
    retry_host_predicate, retry_priority,
};
use nuncio_config::{ConfigError, Within, any, convert};

use crate::matchers::HeaderMatcher;
use crate::metadata_match::{self, MetadataMatch};

/// Reasons to try again: a set of the words of `retry_on` and `x-envoy-retry-on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u32);

macro_rules! retry_on {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $word:literal;)*) => {
        impl RetryOn {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
        const WORDS: &[(&str, RetryOn)] = &[$(($word, RetryOn::$name),)*];
    };
}

retry_on! {
    /// `5xx`: an answer of that class, or none at all.
    FIVE_XX = 0, "5xx";
    /// `gateway-error`: 502, 503, 504, or no answer.
    GATEWAY_ERROR = 1, "gateway-error";
    /// `reset`: no answer.
    RESET = 2, "reset";
    /// `reset-before-request`: no answer, and the request's headers were not sent.
    RESET_BEFORE_REQUEST = 3, "reset-before-request";
    /// `connect-failure`: no connection.
    CONNECT_FAILURE = 4, "connect-failure";
    /// `envoy-ratelimited`: an answer with `x-envoy-ratelimited`.
    ENVOY_RATELIMITED = 5, "envoy-ratelimited";
    /// `retriable-4xx`: 409.
    RETRIABLE_4XX = 6, "retriable-4xx";
    /// `refused-stream`: the upstream has not looked at the request.
    REFUSED_STREAM = 7, "refused-stream";
    /// `retriable-status-codes`: one of the configured ones.
    RETRIABLE_STATUS_CODES = 8, "retriable-status-codes";
    /// `retriable-headers`: an answer with one of the configured headers.
    RETRIABLE_HEADERS = 9, "retriable-headers";
    /// `http3-post-connect-failure`: known, and without effect as long as there is no HTTP/3.
    HTTP3_POST_CONNECT_FAILURE = 10, "http3-post-connect-failure";
    /// `cancelled`: gRPC status 1.
    GRPC_CANCELLED = 11, "cancelled";
    /// `deadline-exceeded`: gRPC status 4.
    GRPC_DEADLINE_EXCEEDED = 12, "deadline-exceeded";
    /// `internal`: gRPC status 13.
    GRPC_INTERNAL = 13, "internal";
    /// `resource-exhausted`: gRPC status 8.
    GRPC_RESOURCE_EXHAUSTED = 14, "resource-exhausted";
    /// `unavailable`: gRPC status 14.
    GRPC_UNAVAILABLE = 15, "unavailable";
}

impl RetryOn {
    /// Whether one of `reasons` is in the set.
    #[must_use]
    pub const fn has(self, reasons: Self) -> bool {
        self.0 & reasons.0 != 0
    }

    /// Whether there is no reason.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the comma list has reasons only: those for gRPC, or the others.
    #[must_use]
    pub fn are_reasons(text: &[u8], grpc: bool) -> bool {
        let known = |word: &[u8]| {
            let mut words = WORDS.iter();
            words.any(|(name, reason)| {
                name.as_bytes() == word && (reason.0 & Self::ALL_GRPC.0 != 0) == grpc
            })
        };
        text.split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .all(|word| word.is_empty() || known(word))
    }

    /// Those that concern gRPC, which `x-envoy-retry-grpc-on` may name; or the others, which `x-envoy-retry-on` may.
    #[must_use]
    pub const fn only(self, grpc: bool) -> Self {
        match grpc {
            true => Self(self.0 & Self::ALL_GRPC.0),
            false => Self(self.0 & !Self::ALL_GRPC.0),
        }
    }

    const ALL_GRPC: Self = Self::GRPC_CANCELLED
        .or(Self::GRPC_DEADLINE_EXCEEDED)
        .or(Self::GRPC_INTERNAL)
        .or(Self::GRPC_RESOURCE_EXHAUSTED)
        .or(Self::GRPC_UNAVAILABLE);

    /// The reasons in a comma list; unknown words are none.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let word = |word: &str| {
            let known = WORDS.iter().find(|(name, _)| *name == word.trim());
            known.map_or(Self(0), |(_, reason)| *reason)
        };
        text.split(',').map(word).fold(Self(0), Self::or)
    }
}

/// `RetryPolicy`.
#[derive(Debug)]
pub struct RetryPolicy {
    /// `retry_on`
    pub on: RetryOn,
    /// `num_retries`
    pub retries: u32,
    /// `per_try_timeout`; `None`: a try may take as long as all of them.
    pub per_try_timeout: Option<Duration>,
    /// `per_try_idle_timeout`
    pub per_try_idle_timeout: Option<Duration>,
    /// `retriable_status_codes`
    pub status_codes: Box<[u16]>,
    /// `retriable_headers`: of answers.
    pub response_headers: Box<[HeaderMatcher]>,
    /// `retriable_request_headers`: a request must have one of them, if there are any.
    pub request_headers: Box<[HeaderMatcher]>,
    /// `retry_priority` `previous_priorities`: after so many tries, priorities that were tried are avoided.
    pub priority_update_frequency: Option<u32>,
    /// `retry_host_predicate` `previous_hosts`: hosts that were tried are avoided.
    pub avoid_previous_hosts: bool,
    /// `retry_host_predicate` `omit_canary_hosts`
    pub avoid_canaries: bool,
    /// `retry_host_predicate` `omit_host_metadata`: hosts with all of one of these are avoided.
    pub avoid_metadata: Vec<MetadataMatch>,
    /// `host_selection_retry_max_attempts`: so often another host is asked for, then any will do.
    pub host_attempts: u32,
    /// `retry_back_off`: the first wait is random below this; the bound doubles each time, up to `max_interval`.
    pub base_interval: Duration,
    /// Nothing was configured: the runtime may have another `base_interval`, and `max_interval` is ten times that.
    pub back_off_is_default: bool,
    /// See `base_interval`.
    pub max_interval: Duration,
    /// `rate_limited_retry_back_off`: headers that tell when to come back.
    pub reset_headers: Box<[ResetHeader]>,
    /// `rate_limited_retry_back_off.max_interval`: longer waits than this are not heeded.
    pub max_reset: Duration,
}

/// `RetryPolicy.ResetHeader`
#[derive(Debug)]
pub struct ResetHeader {
    /// Which header, in lower case.
    pub name: Box<str>,
    /// The value is a time (seconds since 1970), not a number of seconds.
    pub is_time: bool,
}

/// Envoy's default of `retry_back_off.base_interval`.
const BASE_INTERVAL: Duration = Duration::from_millis(25);
/// Envoy's default of `rate_limited_retry_back_off.max_interval`.
const MAX_RESET: Duration = Duration::from_secs(300);

impl Default for RetryPolicy {
    /// What holds when only the request asks for retries.
    fn default() -> Self {
        Self {
            on: RetryOn::default(),
            retries: 1,
            per_try_timeout: None,
            per_try_idle_timeout: None,
            status_codes: Box::default(),
            response_headers: Box::default(),
            request_headers: Box::default(),
            priority_update_frequency: None,
            avoid_previous_hosts: false,
            avoid_canaries: false,
            avoid_metadata: Vec::new(),
            host_attempts: 1,
            base_interval: BASE_INTERVAL,
            back_off_is_default: true,
            max_interval: BASE_INTERVAL * 10,
            reset_headers: Box::default(),
            max_reset: MAX_RESET,
        }
    }
}

impl RetryPolicy {
    /// # Errors
    /// Everything that is wrong, with paths relative to the message.
    pub(crate) fn from_config(message: &Message) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut policy = Self::default();
        let Message {
            retry_on,
            num_retries,
            per_try_timeout,
            per_try_idle_timeout,
            retry_priority,
            retry_host_predicate,
            retry_options_predicates,
            host_selection_retry_max_attempts,
            retriable_status_codes,
            retry_back_off,
            rate_limited_retry_back_off,
            retriable_headers,
            retriable_request_headers,
            refresh_cluster_on_retry,
        } = message;
        for (set, field) in [
            (
                !retry_options_predicates.is_empty(),
                "retry_options_predicates",
            ),
            (*refresh_cluster_on_retry, "refresh_cluster_on_retry"),
        ] {
            if set {
                errors.push(ConfigError::new(
                    field,
                    "unsupported: this field is not implemented",
                ));
            }
        }
        policy.on = RetryOn::parse(retry_on);
        policy.retries = convert::u32_or(num_retries.as_ref(), 1);
        let mut duration = |field: &str, value: Option<&_>| {
            let value = convert::opt_duration(value).within(field);
            let value = value.map_err(|error| errors.push(error)).ok().flatten();
            value.filter(|value| !value.is_zero())
        };
        policy.per_try_timeout = duration("per_try_timeout", per_try_timeout.as_ref());
        policy.per_try_idle_timeout =
            duration("per_try_idle_timeout", per_try_idle_timeout.as_ref());
        for (index, predicate) in retry_host_predicate.iter().enumerate() {
            if let Err(error) = policy.add_host_predicate(predicate) {
                errors.push(error.within(format_args!("retry_host_predicate[{index}]")));
            }
        }
        if let Some(priority) = retry_priority {
            match update_frequency(priority) {
                Ok(frequency) => policy.priority_update_frequency = Some(frequency),
                Err(error) => errors.push(error.within("retry_priority")),
            }
        }
        // Zero is Envoy's default, one.
        policy.host_attempts = u32::try_from(*host_selection_retry_max_attempts)
            .unwrap_or(0)
            .max(1);
        policy.status_codes = (retriable_status_codes.iter())
            .filter_map(|code| u16::try_from(*code).ok())
            .collect();
        if let Some(back_off) = retry_back_off {
            policy.read_back_off(back_off, &mut errors);
        }
        if let Some(back_off) = rate_limited_retry_back_off {
            policy.read_rate_limited(back_off, &mut errors);
        }
        let mut matchers = |field: &str, messages: &[_]| -> Box<[HeaderMatcher]> {
            let messages = messages.iter().enumerate();
            let matchers = messages.filter_map(|(index, message)| {
                let matcher = HeaderMatcher::from_config(message).within_index(field, index);
                matcher.map_err(|error| errors.push(error)).ok()
            });
            matchers.collect()
        };
        policy.response_headers = matchers("retriable_headers", retriable_headers);
        policy.request_headers = matchers("retriable_request_headers", retriable_request_headers);
        match errors.is_empty() {
            true => Ok(policy),
            false => Err(errors),
        }
    }

    fn add_host_predicate(&mut self, message: &RetryHostPredicate) -> Result<(), ConfigError> {
        let Some(retry_host_predicate::ConfigType::TypedConfig(config)) = &message.config_type
        else {
            return Err(ConfigError::new("typed_config", "value is required"));
        };
        // Two of the messages are empty.
        match any::type_of(config) {
            "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" => {
                self.avoid_previous_hosts = true;
                Ok(())
            }
            "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate" => {
                self.avoid_canaries = true;
                Ok(())
            }
            "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig" => {
                let OmitHostMetadataConfig { metadata_match } = any::unpack(config)?;
                // What says nothing to load balancers avoids no host.
                let found = metadata_match::from_config(metadata_match.as_ref());
                self.avoid_metadata.extend(found.map(|found| *found));
                Ok(())
            }
            other => Err(ConfigError::new(
                "typed_config",
                format!("unsupported: the host predicate {other} is not implemented"),
            )),
        }
    }

    fn read_back_off(&mut self, message: &RetryBackOff, errors: &mut Vec<ConfigError>) {
        let RetryBackOff {
            base_interval,
            max_interval,
        } = message;
        let mut duration = |field: &str, value: Option<&_>| {
            let value = convert::opt_duration(value).within(field);
            let value = value.within("retry_back_off");
            value.map_err(|error| errors.push(error)).ok().flatten()
        };
        let base = duration("base_interval", base_interval.as_ref());
        let max = duration("max_interval", max_interval.as_ref());
        self.back_off_is_default = false;
        self.base_interval = whole_millis(base.unwrap_or(BASE_INTERVAL));
        self.max_interval = max.map_or(self.base_interval * 10, whole_millis);
        if self.max_interval < self.base_interval {
            errors.push(ConfigError::new(
                "retry_back_off.max_interval",
                "retry_policy.max_interval must greater than or equal to the base_interval",
            ));
        }
    }

    fn read_rate_limited(
        &mut self,
        message: &RateLimitedRetryBackOff,
        errors: &mut Vec<ConfigError>,
    ) {
        let RateLimitedRetryBackOff {
            reset_headers,
            max_interval,
        } = message;
        let max = convert::opt_duration(max_interval.as_ref())
            .within("rate_limited_retry_back_off.max_interval");
        let max = max.map_err(|error| errors.push(error)).ok().flatten();
        self.max_reset = max.unwrap_or(MAX_RESET);
        let headers = reset_headers.iter().map(|header| ResetHeader {
            name: header.name.to_ascii_lowercase().into(),
            is_time: header.format == ResetHeaderFormat::UnixTimestamp as i32,
        });
        self.reset_headers = headers.collect();
    }
}

/// Envoy counts in milliseconds, and at least one.
fn whole_millis(interval: Duration) -> Duration {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.max(1))
}

/// Of `previous_priorities`, the only way to choose priorities.
fn update_frequency(message: &RetryPriority) -> Result<u32, ConfigError> {
    let Some(retry_priority::ConfigType::TypedConfig(config)) = &message.config_type else {
        return Err(ConfigError::new("typed_config", "value is required"));
    };
    match any::type_of(config) {
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig" => {
            let PreviousPrioritiesConfig { update_frequency } = any::unpack(config)?;
            match u32::try_from(update_frequency) {
                Ok(frequency @ 1..) => Ok(frequency),
                _ => Err(ConfigError::new(
                    "typed_config.update_frequency",
                    "value must be greater than 0",
                )),
            }
        }
        other => Err(ConfigError::new(
            "typed_config",
            format!("unsupported: the retry priority {other} is not implemented"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_in_a_comma_list() {
        let on = RetryOn::parse("5xx, connect-failure,unknown,unavailable");
        assert!(on.has(RetryOn::FIVE_XX) && on.has(RetryOn::CONNECT_FAILURE));
        assert!(on.has(RetryOn::GRPC_UNAVAILABLE) && !on.has(RetryOn::RESET));
        assert!(RetryOn::parse("").is_empty() && RetryOn::parse("nothing").is_empty());
    }

    #[test]
    fn reasons_are_of_two_kinds() {
        assert!(RetryOn::are_reasons(b"5xx, reset,", false));
        assert!(!RetryOn::are_reasons(b"5xx,unavailable", false));
        assert!(RetryOn::are_reasons(b"unavailable", true));
        assert!(!RetryOn::are_reasons(b"nonsense", true));
        let both = RetryOn::parse("5xx,unavailable");
        assert_eq!(both.only(true), RetryOn::GRPC_UNAVAILABLE);
        assert_eq!(both.only(false), RetryOn::FIVE_XX);
    }

    #[test]
    fn the_longest_wait_is_ten_times_the_shortest_unless_told() {
        let message = |base: i64, max: Option<i64>| Message {
            retry_back_off: Some(RetryBackOff {
                base_interval: Some(seconds(base)),
                max_interval: max.map(seconds),
            }),
            ..Message::default()
        };
        let policy = RetryPolicy::from_config(&message(2, None)).unwrap();
        assert_eq!(policy.max_interval, Duration::from_secs(20));
        let errors = RetryPolicy::from_config(&message(2, Some(1))).unwrap_err();
        assert_eq!(errors.len(), 1);
    }

    fn seconds(seconds: i64) -> nuncio_config::api::protobuf::Duration {
        nuncio_config::api::protobuf::Duration { seconds, nanos: 0 }
    }
}
