//! `xds.type.matcher.v3.Matcher`, what it takes as input, and what it compares with.

use super::{Entry, Support::*, message};

const ROUTE: &str = "envoy.config.route.v3.Route";
const ROUTE_LIST: &str = "envoy.config.route.v3.RouteList";
const CLUSTER_ACTION: &str = "envoy.extensions.router.cluster_specifiers.matcher.v3.ClusterAction";

const REQUEST_HEADER: &str = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput";
const FILTER_STATE: &str = "envoy.extensions.matching.common_inputs.network.v3.FilterStateInput";
const ENVIRONMENT: &str = "envoy.extensions.matching.common_inputs.environment_variable.v3.Config";

const RUNTIME_FRACTION: &str =
    "envoy.extensions.matching.input_matchers.runtime_fraction.v3.RuntimeFraction";
const CONSISTENT_HASHING: &str =
    "envoy.extensions.matching.input_matchers.consistent_hashing.v3.ConsistentHashing";
const IP: &str = "envoy.extensions.matching.input_matchers.ip.v3.Ip";
const METADATA: &str = "envoy.extensions.matching.input_matchers.metadata.v3.Metadata";

const IP_TREE: &str = "xds.type.matcher.v3.IPMatcher";
const NAME_TREE: &str = "xds.type.matcher.v3.ServerNameMatcher";

const LIST: &str = "xds.type.matcher.v3.Matcher.MatcherList";

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "xds.type.matcher.v3.Matcher",
        &[
            ("matcher_list", Implemented),
            ("matcher_tree", Implemented),
            ("on_no_match", Implemented),
        ],
    ),
    message(
        "xds.type.matcher.v3.Matcher.OnMatch",
        &[
            ("matcher", Implemented),
            ("action", Implemented),
            ("keep_matching", Implemented),
        ],
    ),
    message(LIST, &[("matchers", Implemented)]),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.FieldMatcher",
        &[("predicate", Implemented), ("on_match", Implemented)],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate",
        &[
            ("single_predicate", Implemented),
            ("or_matcher", Implemented),
            ("and_matcher", Implemented),
            ("not_matcher", Implemented),
        ],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate.SinglePredicate",
        &[
            ("input", Implemented),
            ("value_match", Implemented),
            ("custom_match", Implemented),
        ],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherList.Predicate.PredicateList",
        &[("predicate", Implemented)],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherTree",
        &[
            ("input", Implemented),
            ("exact_match_map", Implemented),
            ("prefix_match_map", Implemented),
            ("custom_match", Implemented),
        ],
    ),
    message(
        "xds.type.matcher.v3.Matcher.MatcherTree.MatchMap",
        &[("map", Implemented)],
    ),
    message(
        "xds.core.v3.TypedExtensionConfig",
        &[
            ("name", Implemented),
            (
                "typed_config",
                Extension(&[
                    REQUEST_HEADER,
                    FILTER_STATE,
                    ENVIRONMENT,
                    RUNTIME_FRACTION,
                    CONSISTENT_HASHING,
                    IP,
                    METADATA,
                    IP_TREE,
                    NAME_TREE,
                    ROUTE,
                    ROUTE_LIST,
                    CLUSTER_ACTION,
                ]),
            ),
        ],
    ),
    message(
        "xds.core.v3.CidrRange",
        &[("address_prefix", Implemented), ("prefix_len", Implemented)],
    ),
    message(
        "xds.type.matcher.v3.StringMatcher",
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
        "xds.type.matcher.v3.RegexMatcher",
        &[
            ("google_re2", Harmless("the only regex engine there is")),
            ("regex", Implemented),
        ],
    ),
    message(REQUEST_HEADER, &[("header_name", Implemented)]),
    message(
        FILTER_STATE,
        &[("key", Implemented), ("field", Implemented)],
    ),
    message(ENVIRONMENT, &[("name", Implemented)]),
    message(
        RUNTIME_FRACTION,
        &[("runtime_fraction", Implemented), ("seed", Implemented)],
    ),
    message(
        CONSISTENT_HASHING,
        &[
            ("threshold", Implemented),
            ("modulo", Implemented),
            ("seed", Implemented),
        ],
    ),
    message(
        IP,
        &[("cidr_ranges", Implemented), ("stat_prefix", Implemented)],
    ),
    message(METADATA, &[("value", Implemented), ("invert", Implemented)]),
    message(IP_TREE, &[("range_matchers", Implemented)]),
    message(
        "xds.type.matcher.v3.IPMatcher.IPRangeMatcher",
        &[
            ("ranges", Implemented),
            ("on_match", Implemented),
            ("exclusive", Implemented),
        ],
    ),
    message(NAME_TREE, &[("domain_matchers", Implemented)]),
    message(
        "xds.type.matcher.v3.ServerNameMatcher.DomainMatcher",
        &[("domains", Implemented), ("on_match", Implemented)],
    ),
    message(ROUTE_LIST, &[("routes", Implemented)]),
    message(CLUSTER_ACTION, &[("cluster", Implemented)]),
];
