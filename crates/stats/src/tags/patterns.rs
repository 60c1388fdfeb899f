//! Envoy's regular expressions for tags, as code that finds the same. The expression stands above each function, with
//! `TAG` for `[^\.]+`, `WORD` for `[\w-]+`.

use super::walk::Walk;
use crate::config::TagSpan;

/// `listener|cluster`
pub(super) const EITHER: &[&str] = &["listener", "cluster"];

/// `_rq(_(\d{3}))$`
pub(super) fn response_code(name: &str) -> Option<TagSpan> {
    let at = name.len().checked_sub(4)?;
    let digits = name.as_bytes()[at..].strip_prefix(b"_")?;
    let found = digits.iter().all(u8::is_ascii_digit) && name.as_bytes()[..at].ends_with(b"_rq");
    found.then(|| TagSpan {
        remove: at..name.len(),
        value: at + 1..name.len(),
    })
}

/// `_rq_((\d))xx$`
pub(super) fn response_code_class(name: &str) -> Option<TagSpan> {
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
pub(super) fn dynamo_partition_id(name: &str) -> Option<TagSpan> {
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
pub(super) fn dynamo_operation(name: &str) -> Option<TagSpan> {
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
pub(super) fn dynamo_table(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("dynamodb")).then_some(())?;
    (walk.word("table") || walk.word("error")).then_some(())?;
    walk.any_and_dot()
}

/// `^(?:FIRST)\..*?MIDDLE(\.(WORD))$`
pub(super) fn last_word(name: &str, first: &[&str], middle: &str) -> Option<TagSpan> {
    let start = name.rfind('.')? + 1;
    is_word(&name[start..]).then_some(())?;
    last_value(name, first, middle, start)
}

/// `^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$`
pub(super) fn last_tls_version(name: &str) -> Option<TagSpan> {
    let start = name.len().checked_sub("TLSv1.3".len())?;
    is_tls_version(name.get(start..)?).then_some(())?;
    last_value(name, EITHER, ".ssl.versions", start)
}

/// The rest of the name from `start` as a tag that goes with the dot before it, if `middle` stands before that.
fn last_value(name: &str, first: &[&str], middle: &str, start: usize) -> Option<TagSpan> {
    let before = name[..start].strip_suffix('.')?.strip_suffix(middle)?;
    let token = before.split_once('.')?.0;
    first.contains(&token).then_some(TagSpan {
        remove: start - 1..name.len(),
        value: start..name.len(),
    })
}

/// `^cluster\.TAG\.ssl\.ciphers(\.(WORD))$`
pub(super) fn cipher_suite(name: &str) -> Option<TagSpan> {
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
pub(super) fn health_check_name(name: &str) -> Option<TagSpan> {
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
pub(super) fn listener_http_prefix(name: &str) -> Option<TagSpan> {
    let after = "listener.".len();
    name.starts_with("listener.").then_some(())?;
    // The first occurrence that a non-empty token and a dot follow.
    occurrences(name, after, b".http.").find_map(|at| Walk { name, at }.any_and_dot())
}

/// `^(?:listener\.(?:ADDRESS|TAG)|server|listener_manager|thread_local_cluster_manager)\.worker_((\d+)\.)`
pub(super) fn worker_id(name: &str) -> Option<TagSpan> {
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
pub(super) fn listener_address(name: &str) -> Option<TagSpan> {
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
pub(super) fn route_config(name: &str, kind: &str, also: &str) -> Option<TagSpan> {
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
pub(super) fn rbac_policy_name(name: &str) -> Option<TagSpan> {
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
pub(super) fn rbac_http_prefix(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    (walk.word("http") && walk.any().is_some() && walk.word("rbac")).then_some(())?;
    walk.any_and_dot()
        .filter(|span| &name[span.value.clone()] != "policy")
}

/// `^proxy_proto\.((TAG)\.).+$`, unless the value is `versions`
pub(super) fn proxy_protocol_prefix(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    walk.word("proxy_proto").then_some(())?;
    let span = walk.any_and_dot()?;
    (span.remove.end < name.len() && &name[span.value.clone()] != "versions").then_some(span)
}

/// `^proxy_proto\.((?:TAG\.)?versions\.v(\d)\.)\w+$`
pub(super) fn proxy_protocol_version(name: &str) -> Option<TagSpan> {
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
pub(super) fn tls_certificate(name: &str) -> Option<TagSpan> {
    let (first, rest) = name.split_once('.')?;
    EITHER.contains(&first).then_some(())?;
    occurrences(name, name.len() - rest.len(), b".ssl.certificate.")
        .find_map(|at| Walk { name, at }.any_and_dot())
}

/// `^sds\.((TAG)\.).+`
pub(super) fn xds_resource_name(name: &str) -> Option<TagSpan> {
    let mut walk = Walk::new(name);
    walk.word("sds").then_some(())?;
    walk.any_and_dot()
        .filter(|span| span.remove.end < name.len())
}

/// Where `wanted` ends, for each time it stands in `name` from `start` on. For so short texts this beats the searcher
/// of the standard library, which prepares first.
fn occurrences<'a>(
    name: &'a str,
    start: usize,
    wanted: &'static [u8],
) -> impl Iterator<Item = usize> + 'a {
    let windows = name.as_bytes()[start..].windows(wanted.len()).enumerate();
    let found = windows.filter(move |(_, seen)| seen[..2] == wanted[..2] && *seen == wanted);
    found.map(move |(at, _)| start + at + wanted.len())
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
