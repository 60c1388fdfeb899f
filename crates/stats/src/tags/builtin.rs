//! Envoy's own rules, in its order (`source/common/config/well_known_names.cc`, as of 1.40).
//!
//! What is a regular expression there is a function here that finds the same; the expression stands above it, with
//! `TAG` for `[^\.]+`, `WORD` for `[\w-]+`.

use std::ops::Range;

use super::tokens::Token::{self, Any, Rest, Value, Word};
use crate::config::TagSpan;

/// Tag, fixed first token, and how it is found.
type CodeRule = (
    &'static str,
    Option<&'static str>,
    fn(&str) -> Option<TagSpan>,
);

/// What regular expressions find in Envoy.
pub(super) const CODE: &[CodeRule] = &[
    ("envoy.response_code", None, response_code),
    ("envoy.response_code_class", None, response_code_class),
    (
        "envoy.dynamo_partition_id",
        Some("http"),
        dynamo_partition_id,
    ),
    ("envoy.dynamo_operation", Some("http"), dynamo_operation),
    ("envoy.dynamo_table", Some("http"), dynamo_table),
    ("envoy.ssl_cipher", Some("listener"), |name| {
        last_token(name, &["listener"], ".ssl.ciphers.", is_word)
    }),
    ("envoy.ssl_curve", None, |name| {
        last_token(name, EITHER, ".ssl.curves.", is_word)
    }),
    ("envoy.ssl_sigalg", None, |name| {
        last_token(name, EITHER, ".ssl.sigalgs.", is_word)
    }),
    ("envoy.ssl_version", None, |name| {
        last_token(name, EITHER, ".ssl.versions.", is_tls_version)
    }),
    ("cipher_suite", Some("cluster"), cipher_suite),
    (
        "envoy.health_check_name",
        Some("cluster"),
        health_check_name,
    ),
    (
        "envoy.http_conn_manager_prefix",
        Some("listener"),
        listener_http_prefix,
    ),
    ("envoy.worker_id", None, worker_id),
    ("envoy.listener_address", Some("listener"), listener_address),
    ("envoy.rds_route_config", Some("http"), |name| {
        route_config(name, "rds", "/")
    }),
    ("envoy.scoped_rds_config", Some("http"), |name| {
        route_config(name, "scoped_rds", "")
    }),
    ("envoy.rbac_policy_name", Some("http"), rbac_policy_name),
    ("envoy.rbac_http_prefix", Some("http"), rbac_http_prefix),
    (
        "envoy.proxy_protocol_prefix",
        Some("proxy_proto"),
        proxy_protocol_prefix,
    ),
    (
        "envoy.proxy_protocol_version",
        Some("proxy_proto"),
        proxy_protocol_version,
    ),
    ("envoy.tls_certificate", None, tls_certificate),
    ("envoy.xds_resource_name", Some("sds"), xds_resource_name),
];

/// What token patterns find in Envoy.
pub(super) const TOKENS: &[(&str, &[Token])] = &[
    (
        "envoy.mongo_callsite",
        &[
            Word("mongo"),
            Any,
            Word("collection"),
            Any,
            Word("callsite"),
            Value,
            Word("query"),
            Rest,
        ],
    ),
    (
        "envoy.mongo_collection",
        &[
            Word("mongo"),
            Any,
            Word("collection"),
            Value,
            Rest,
            Word("query"),
            Any,
        ],
    ),
    (
        "envoy.mongo_cmd",
        &[Word("mongo"), Any, Word("cmd"), Value, Rest],
    ),
    (
        "envoy.grpc_bridge_method",
        &[Word("cluster"), Any, Word("grpc"), Any, Value, Rest],
    ),
    (
        "envoy.http_user_agent",
        &[Word("http"), Any, Word("user_agent"), Value, Rest],
    ),
    (
        "envoy.virtual_cluster",
        &[Word("vhost"), Any, Word("vcluster"), Value, Rest],
    ),
    (
        "envoy.fault_downstream_cluster",
        &[Word("http"), Any, Word("fault"), Value, Rest],
    ),
    (
        "envoy.grpc_bridge_service",
        &[Word("cluster"), Any, Word("grpc"), Value, Rest],
    ),
    ("envoy.tcp_prefix", &[Word("tcp"), Value, Rest]),
    ("envoy.udp_prefix", &[Word("udp"), Value, Rest]),
    (
        "envoy.clientssl_prefix",
        &[Word("auth"), Word("clientssl"), Value, Rest],
    ),
    ("envoy.ratelimit_prefix", &[Word("ratelimit"), Value, Rest]),
    ("envoy.cluster_name", &[Word("cluster"), Value, Rest]),
    (
        "envoy.ext_authz_prefix",
        &[Word("cluster"), Any, Word("ext_authz"), Value, Rest],
    ),
    (
        "envoy.ext_authz_prefix",
        &[Word("http"), Any, Word("ext_authz"), Value, Rest],
    ),
    (
        "envoy.http_conn_manager_prefix",
        &[Word("http"), Value, Rest],
    ),
    ("envoy.virtual_host", &[Word("vhost"), Value, Rest]),
    ("envoy.mongo_prefix", &[Word("mongo"), Value, Rest]),
    (
        "envoy.route",
        &[Word("vhost"), Any, Word("route"), Value, Rest],
    ),
    ("envoy.thrift_prefix", &[Word("thrift"), Value, Rest]),
    ("envoy.redis_prefix", &[Word("redis"), Value, Rest]),
    (
        "envoy.local_http_ratelimit_prefix",
        &[Value, Word("http_local_rate_limit"), Rest],
    ),
    (
        "envoy.local_network_ratelimit_prefix",
        &[Word("local_rate_limit"), Value, Rest],
    ),
    (
        "envoy.local_listener_ratelimit_prefix",
        &[Word("listener_local_ratelimit"), Value, Rest],
    ),
    (
        "envoy.dns_filter_prefix",
        &[Word("dns_filter"), Value, Rest],
    ),
    (
        "envoy.connection_limit_prefix",
        &[Word("connection_limit"), Value, Rest],
    ),
    ("envoy.rbac_prefix", &[Value, Word("rbac"), Rest]),
    (
        "envoy.google_grpc_client_prefix",
        &[Word("grpc"), Value, Rest],
    ),
];

const EITHER: &[&str] = &["listener", "cluster"];

/// `_rq(_(\d{3}))$`
fn response_code(name: &str) -> Option<TagSpan> {
    let at = name.len().checked_sub(4)?;
    let digits = name.as_bytes()[at..].strip_prefix(b"_")?;
    let found = digits.iter().all(u8::is_ascii_digit) && name.as_bytes()[..at].ends_with(b"_rq");
    found.then(|| TagSpan {
        remove: at..name.len(),
        value: at + 1..name.len(),
    })
}

/// `_rq_((\d))xx$`
fn response_code_class(name: &str) -> Option<TagSpan> {
    let before = name.strip_suffix("xx")?;
    let at = before.len().checked_sub(1)?;
    let found =
        before.as_bytes()[at].is_ascii_digit() && before.as_bytes()[..at].ends_with(b"_rq_");
    found.then(|| TagSpan {
        remove: at..at + 1,
        value: at..at + 1,
    })
}

/// `^http\.TAG\.dynamodb\.table\.TAG\.capacity\.TAG(\.__partition_id=(\w{7}))$`
fn dynamo_partition_id(name: &str) -> Option<TagSpan> {
    let tokens: Vec<&str> = name.split('.').collect();
    let ["http", _, "dynamodb", "table", _, "capacity", _, last] = tokens[..] else {
        return None;
    };
    let id = last.strip_prefix("__partition_id=")?;
    let start = name.len() - id.len();
    let remove = name.len() - last.len() - 1..name.len();
    (id.len() == 7 && id.bytes().all(is_w)).then_some(TagSpan {
        remove,
        value: start..name.len(),
    })
}

/// `^http\.TAG\.dynamodb.(?:operation|table\.TAG\.capacity)(\.(TAG))(?:\.|$)`
fn dynamo_operation(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("dynamodb")).then_some(())?;
    if !walk.word("operation") {
        (walk.word("table") && walk.any().is_some() && walk.word("capacity")).then_some(())?;
    }
    let value = walk.any()?;
    Some(TagSpan {
        remove: value.start - 1..value.end,
        value,
    })
}

/// `^http\.TAG\.dynamodb.(?:table|error)\.((TAG)\.)`
fn dynamo_table(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("dynamodb")).then_some(())?;
    (walk.word("table") || walk.word("error")).then_some(())?;
    walk.any_and_dot()
}

/// `^(?:FIRST)\..*?MIDDLE(\.(VALUE))$`, where `middle` ends in the dot that belongs to the first group.
fn last_token(
    name: &str,
    first: &[&str],
    middle: &str,
    valid: fn(&str) -> bool,
) -> Option<TagSpan> {
    let after = name
        .split_once('.')
        .filter(|(token, _)| first.contains(token))?
        .1;
    // A value has no dot except in TLS versions, so the last occurrence is the one that leaves only the value.
    let (_, value) = after.rsplit_once(middle)?;
    let start = name.len() - value.len();
    valid(value).then_some(TagSpan {
        remove: start - 1..name.len(),
        value: start..name.len(),
    })
}

/// `^cluster\.TAG\.ssl\.ciphers(\.(WORD))$`
fn cipher_suite(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    let found =
        walk.word("cluster") && walk.any().is_some() && walk.word("ssl") && walk.word("ciphers");
    let value = walk
        .any()
        .filter(|value| found && value.end == name.len() && is_word(&name[value.clone()]))?;
    Some(TagSpan {
        remove: value.start - 1..value.end,
        value,
    })
}

/// `^cluster\.TAG\.health_check(\.name\.(TAG))\..+`
fn health_check_name(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("cluster") && walk.any().is_some() && walk.word("health_check")).then_some(())?;
    let start = walk.at - 1;
    walk.word("name").then_some(())?;
    let value = walk.any()?;
    (walk.at < name.len()).then_some(TagSpan {
        remove: start..value.end,
        value,
    })
}

/// `^listener\..*?\.http\.((TAG)\.)`
fn listener_http_prefix(name: &str) -> Option<TagSpan> {
    let after = "listener.".len();
    let rest = name.strip_prefix("listener.")?;
    // The first occurrence that a non-empty token and a dot follow.
    rest.match_indices(".http.").find_map(|(at, found)| {
        let mut walk = Walk {
            name,
            at: after + at + found.len(),
        };
        walk.any_and_dot()
    })
}

/// `^(?:listener\.(?:ADDRESS|TAG)|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)`
fn worker_id(name: &str) -> Option<TagSpan> {
    let (first, rest) = name.split_once('.')?;
    let starts = match first {
        "listener" => {
            let after = name.len() - rest.len();
            let token = rest
                .find('.')
                .filter(|&length| length > 0)
                .map(|length| after + length);
            [address(name, after), token]
        }
        "server" | "listener_manager" | "thread_local_cluster_manager" => [Some(first.len()), None],
        _ => return None,
    };
    starts.into_iter().flatten().find_map(|at| {
        let id = name[at..].strip_prefix(".worker_")?;
        let digits = id.bytes().take_while(u8::is_ascii_digit).count();
        let start = name.len() - id.len();
        let found = digits > 0 && id[digits..].starts_with('.');
        found.then_some(TagSpan {
            remove: start..start + digits + 1,
            value: start..start + digits,
        })
    })
}

/// `^listener\.((ADDRESS|TAG)\.)`, unless the value is `admin`
fn listener_address(name: &str) -> Option<TagSpan> {
    let start = "listener.".len();
    name.starts_with("listener.").then_some(())?;
    let token = || {
        name[start..]
            .find('.')
            .filter(|&length| length > 0)
            .map(|length| start + length)
    };
    let end = address(name, start)
        .filter(|&end| name[end..].starts_with('.'))
        .or_else(token)?;
    (&name[start..end] != "admin").then_some(TagSpan {
        remove: start..end + 1,
        value: start..end,
    })
}

/// The end of `(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+` at `start`.
fn address(name: &str, start: usize) -> Option<usize> {
    let text = &name[start..];
    let host = if let Some(inner) = text.strip_prefix('[') {
        let length = inner
            .bytes()
            .take_while(|b| b.is_ascii_hexdigit() || *b == b'_')
            .count();
        (length > 0 && inner[length..].starts_with(']')).then_some(length + 2)?
    } else {
        let mut length = 0;
        for number in 0..4 {
            if number > 0 {
                text[length..].starts_with('.').then_some(())?;
                length += 1;
            }
            let digits = text[length..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            (1..=3).contains(&digits).then_some(())?;
            length += digits;
        }
        length
    };
    let port = text[host..]
        .strip_prefix('_')?
        .bytes()
        .take_while(u8::is_ascii_digit)
        .count();
    (port > 0).then_some(start + host + 1 + port)
}

/// `^http\.TAG\.KIND\.(([\w\.-]+)\.)\w+?$`, with `also` allowed in the value
fn route_config(name: &str, kind: &str, also: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word(kind)).then_some(())?;
    let (value, last) = walk.rest()?.rsplit_once('.')?;
    let valid = |byte: u8| is_w(byte) || b"-.".contains(&byte) || also.as_bytes().contains(&byte);
    let found =
        !value.is_empty() && value.bytes().all(valid) && !last.is_empty() && last.bytes().all(is_w);
    let value = walk.at..walk.at + value.len();
    found.then_some(TagSpan {
        remove: value.start..value.end + 1,
        value,
    })
}

/// `^http\.TAG\.rbac\.(?:TAG\.)?policy\.((TAG)\.)(allowed|shadow_allowed|denied|shadow_denied)$`
fn rbac_policy_name(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("rbac")).then_some(())?;
    [false, true].into_iter().find_map(|prefixed| {
        let mut walk = Walk { name, at: walk.at };
        (!prefixed || walk.any().is_some()).then_some(())?;
        walk.word("policy").then_some(())?;
        let span = walk.any_and_dot()?;
        let last = &name[span.remove.end..];
        matches!(
            last,
            "allowed" | "shadow_allowed" | "denied" | "shadow_denied"
        )
        .then_some(span)
    })
}

/// `^http\.TAG\.rbac\.((TAG)\.).*?`, unless the value is `policy`
fn rbac_http_prefix(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("rbac")).then_some(())?;
    walk.any_and_dot()
        .filter(|span| &name[span.value.clone()] != "policy")
}

/// `^proxy_proto\.((TAG)\.).+$`, unless the value is `versions`
fn proxy_protocol_prefix(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    walk.word("proxy_proto").then_some(())?;
    let span = walk.any_and_dot()?;
    (span.remove.end < name.len() && &name[span.value.clone()] != "versions").then_some(span)
}

/// `^proxy_proto\.((?:TAG\.)?versions\.v(\d)\.)\w+$`
fn proxy_protocol_version(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    walk.word("proxy_proto").then_some(())?;
    let start = walk.at;
    if !walk.word("versions") {
        (walk.any().is_some() && walk.word("versions")).then_some(())?;
    }
    let token = walk.any()?;
    let last = walk.rest()?;
    let digit = name[token.clone()]
        .strip_prefix('v')
        .filter(|v| v.len() == 1 && v.as_bytes()[0].is_ascii_digit());
    let found = digit.is_some() && !last.is_empty() && last.bytes().all(is_w);
    found.then_some(TagSpan {
        remove: start..token.end + 1,
        value: token.start + 1..token.end,
    })
}

/// `^(?:listener|cluster)\..*?\.ssl\.certificate\.((TAG)\.).*$`
fn tls_certificate(name: &str) -> Option<TagSpan> {
    let (first, rest) = name.split_once('.')?;
    EITHER.contains(&first).then_some(())?;
    rest.match_indices(".ssl.certificate.")
        .find_map(|(at, found)| {
            let mut walk = Walk {
                name,
                at: first.len() + 1 + at + found.len(),
            };
            walk.any_and_dot()
        })
}

/// `^sds\.((TAG)\.).+`
fn xds_resource_name(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    walk.word("sds").then_some(())?;
    walk.any_and_dot()
        .filter(|span| span.remove.end < name.len())
}

/// `\w`
fn is_w(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// `^[\w-]+$`
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| is_w(byte) || byte == b'-')
}

/// `^TLSv\d\.\d$`
fn is_tls_version(text: &str) -> bool {
    text.strip_prefix("TLSv").is_some_and(
        |rest| matches!(rest.as_bytes(), [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit()),
    )
}

/// Walks a name token by token; `at` is where the next token begins (past the end once the last was taken).
struct Walk<'a> {
    name: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, at: 0 }
    }

    /// Takes the next token if it is `word`.
    fn word(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .filter(|token| self.name[token.clone()] == *word);
        self.at = found.as_ref().map_or(self.at, |token| token.end + 1);
        found.is_some()
    }

    /// Takes the next token if it is not empty.
    fn any(&mut self) -> Option<Range<usize>> {
        let token = self.peek().filter(|token| !token.is_empty())?;
        self.at = token.end + 1;
        Some(token)
    }

    /// Takes the next token, which must not be the last, as a tag that goes with the dot after it.
    fn any_and_dot(&mut self) -> Option<TagSpan> {
        let value = self.any()?;
        (value.end < self.name.len()).then_some(TagSpan {
            remove: value.start..value.end + 1,
            value,
        })
    }

    /// What follows the tokens taken, if a dot did.
    fn rest(&self) -> Option<&'a str> {
        self.name.get(self.at..)
    }

    fn peek(&self) -> Option<Range<usize>> {
        let rest = self.rest()?;
        let length = rest.find('.').unwrap_or(rest.len());
        Some(self.at..self.at + length)
    }
}
