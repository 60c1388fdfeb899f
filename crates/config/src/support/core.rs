//! What every area uses: addresses, headers, matchers, percentages.

use super::{
    Entry,
    Support::*,
    access_log::FORMATTERS,
    balancing::POLICIES,
    dns::RESOLVERS,
    filters::PRESERVE_CASE,
    filters::SESSION_STATES,
    hcm::HCM_EXTENSIONS,
    message,
    route::{REDIRECT_PREDICATES, ROUTE_POLICIES},
};

const LOCAL_ADDRESS_SELECTOR: &str =
    "envoy.config.upstream.local_address_selector.v3.DefaultLocalAddressSelector";
const HEALTH_CHECK_EVENT_FILE: &str =
    "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";

/// What a `TypedExtensionConfig` holds, wherever it is.
const EXTENSIONS: &[&str] = &{
    const GROUPS: [&[&str]; 8] = [
        &POLICIES,
        &SESSION_STATES,
        &RESOLVERS,
        &[
            PRESERVE_CASE,
            LOCAL_ADDRESS_SELECTOR,
            HEALTH_CHECK_EVENT_FILE,
        ],
        &REDIRECT_PREDICATES,
        &ROUTE_POLICIES,
        &HCM_EXTENSIONS,
        &FORMATTERS,
    ];
    const COUNT: usize = {
        let (mut count, mut group) = (0, 0);
        while group < GROUPS.len() {
            count += GROUPS[group].len();
            group += 1;
        }
        count
    };
    let mut all = [""; COUNT];
    let (mut group, mut next) = (0, 0);
    while group < GROUPS.len() {
        let mut at = 0;
        while at < GROUPS[group].len() {
            all[next] = GROUPS[group][at];
            next += 1;
            at += 1;
        }
        group += 1;
    }
    all
};

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.core.v3.GrpcService",
        &[
            ("envoy_grpc", Implemented),
            (
                "google_grpc",
                Refused("use envoy_grpc: its calls go through a cluster of this proxy"),
            ),
            ("timeout", Implemented),
            ("initial_metadata", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.GrpcService.EnvoyGrpc",
        &[
            ("cluster_name", Implemented),
            ("authority", Implemented),
            ("max_receive_message_length", Implemented),
            ("skip_envoy_headers", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Node",
        &[
            ("id", Implemented),
            ("cluster", Implemented),
            ("metadata", Implemented),
            (
                "dynamic_parameters",
                Harmless("only sent to management servers, and there are none yet"),
            ),
            ("locality", Implemented),
            (
                "user_agent_name",
                Harmless("overwritten by the program, as in Envoy"),
            ),
            (
                "user_agent_version",
                Harmless("overwritten by the program, as in Envoy"),
            ),
            (
                "user_agent_build_version",
                Harmless("overwritten by the program, as in Envoy"),
            ),
            (
                "extensions",
                Harmless("overwritten by the program, as in Envoy"),
            ),
            (
                "client_features",
                Harmless("only sent to management servers, and there are none yet"),
            ),
        ],
    ),
    message(
        "envoy.config.core.v3.Locality",
        &[
            ("region", Implemented),
            ("zone", Implemented),
            ("sub_zone", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Address",
        &[("socket_address", Implemented), ("pipe", Implemented)],
    ),
    message(
        "envoy.config.core.v3.SocketAddress",
        &[
            ("protocol", Only(&["TCP"])),
            ("address", Implemented),
            ("port_value", Implemented),
            ("ipv4_compat", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Pipe",
        &[("path", Implemented), ("mode", Implemented)],
    ),
    message(
        "envoy.config.core.v3.CidrRange",
        &[("address_prefix", Implemented), ("prefix_len", Implemented)],
    ),
    message(
        "envoy.config.core.v3.TcpKeepalive",
        &[
            ("keepalive_probes", Implemented),
            ("keepalive_time", Implemented),
            ("keepalive_interval", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.BindConfig",
        &[
            ("source_address", Implemented),
            ("freebind", Implemented),
            ("socket_options", Implemented),
            ("extra_source_addresses", Implemented),
            ("additional_source_addresses", Implemented),
            (
                "local_address_selector",
                Extension(&[LOCAL_ADDRESS_SELECTOR]),
            ),
            (
                "validate_network_namespaces",
                Harmless("an address in a network namespace is refused"),
            ),
        ],
    ),
    message(
        "envoy.config.core.v3.ExtraSourceAddress",
        &[("address", Implemented), ("socket_options", Implemented)],
    ),
    message(LOCAL_ADDRESS_SELECTOR, &[]),
    message(
        "envoy.config.core.v3.SocketOption",
        &[
            ("description", Implemented),
            ("level", Implemented),
            ("name", Implemented),
            ("int_value", Implemented),
            ("buf_value", Implemented),
            ("state", Implemented),
            ("type", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.SocketOption.SocketType",
        &[("stream", Implemented), ("datagram", Implemented)],
    ),
    message("envoy.config.core.v3.SocketOption.SocketType.Stream", &[]),
    message("envoy.config.core.v3.SocketOption.SocketType.Datagram", &[]),
    message(
        "envoy.config.core.v3.SocketOptionsOverride",
        &[("socket_options", Implemented)],
    ),
    message(
        "envoy.config.core.v3.TypedExtensionConfig",
        &[
            ("name", Implemented),
            ("typed_config", Extension(EXTENSIONS)),
        ],
    ),
    message(
        "envoy.config.core.v3.Metadata",
        &[
            ("filter_metadata", Implemented),
            ("typed_filter_metadata", Refused("")),
        ],
    ),
    message(
        "envoy.config.core.v3.DataSource",
        &[
            ("filename", Implemented),
            ("inline_bytes", Implemented),
            ("inline_string", Implemented),
            ("environment_variable", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.HeaderValue",
        &[
            ("key", Implemented),
            ("value", Implemented),
            (
                "raw_value",
                Harmless("Envoy ignores it too where headers are added: value counts"),
            ),
        ],
    ),
    message(
        "envoy.config.core.v3.HeaderValueOption",
        &[
            ("header", Implemented),
            ("append", Implemented),
            ("append_action", Implemented),
            ("keep_empty_value", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.RuntimeUInt32",
        &[("default_value", Implemented), ("runtime_key", Implemented)],
    ),
    message(
        "envoy.config.core.v3.RuntimeFractionalPercent",
        &[("default_value", Implemented), ("runtime_key", Implemented)],
    ),
    message("envoy.type.v3.Percent", &[("value", Implemented)]),
    message(
        "envoy.type.v3.FractionalPercent",
        &[("numerator", Implemented), ("denominator", Implemented)],
    ),
    message(
        "envoy.type.v3.Int64Range",
        &[("start", Implemented), ("end", Implemented)],
    ),
    message(
        "envoy.type.v3.DoubleRange",
        &[("start", Implemented), ("end", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.StringMatcher",
        &[
            ("exact", Implemented),
            ("prefix", Implemented),
            ("suffix", Implemented),
            ("safe_regex", Implemented),
            ("contains", Implemented),
            ("ignore_case", Implemented),
        ],
    ),
    message(
        "envoy.type.matcher.v3.ListStringMatcher",
        &[("patterns", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.RegexMatcher",
        &[
            (
                "google_re2",
                Harmless("the only regex engine there is; what Envoy takes keeps to its limit"),
            ),
            ("regex", Implemented),
        ],
    ),
    message(
        "envoy.type.matcher.v3.RegexMatchAndSubstitute",
        &[("pattern", Implemented), ("substitution", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.MetadataMatcher",
        &[
            ("filter", Implemented),
            ("path", Implemented),
            ("value", Implemented),
            ("invert", Implemented),
        ],
    ),
    message(
        "envoy.type.matcher.v3.MetadataMatcher.PathSegment",
        &[("key", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.FilterStateMatcher",
        &[
            ("key", Implemented),
            ("string_match", Implemented),
            ("address_match", Implemented),
        ],
    ),
    message(
        "envoy.type.matcher.v3.AddressMatcher",
        &[("ranges", Implemented), ("invert_match", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.ValueMatcher",
        &[
            ("null_match", Implemented),
            ("double_match", Implemented),
            ("string_match", Implemented),
            ("bool_match", Implemented),
            ("present_match", Implemented),
            ("list_match", Implemented),
            ("or_match", Implemented),
        ],
    ),
    message("envoy.type.matcher.v3.ValueMatcher.NullMatch", &[]),
    message(
        "envoy.type.matcher.v3.DoubleMatcher",
        &[("range", Implemented), ("exact", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.ListMatcher",
        &[("one_of", Implemented)],
    ),
    message(
        "envoy.type.matcher.v3.OrMatcher",
        &[("value_matchers", Implemented)],
    ),
];
