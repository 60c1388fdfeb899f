//! The string formats that validation rules name.

/// An IPv4 or IPv6 address.
pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// RFC 1034: labels of letters, digits and hyphens; 253 characters at most.
pub(super) fn is_hostname(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// `local@host`, roughly as much as protoc-gen-validate looks at.
pub(super) fn is_email(text: &str) -> bool {
    text.len() <= 254
        && text
            .rsplit_once('@')
            .is_some_and(|(local, host)| (1..=64).contains(&local.len()) && is_hostname(host))
}

/// Eight, four, four, four and twelve hexadecimal digits.
pub(super) fn is_uuid(text: &str) -> bool {
    let parts: Vec<_> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts
            .iter()
            .all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// What may stand in a header's name or value, and the regular expression that says so in messages.
pub(super) fn header(known_regex: u64, strict: bool) -> (fn(&str) -> bool, &'static str) {
    match (known_regex, strict) {
        (1, true) => (is_header_name, r"^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$"),
        (2, true) => (is_header_value, r"^[^\x00-\x08\n-\x1f\x7f]*$"),
        _ => (is_one_line, r"^[^\x00\n\r]*$"),
    }
}

fn is_header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&b))
}

fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || !b.is_ascii_control())
}

fn is_one_line(text: &str) -> bool {
    !text.bytes().any(|b| matches!(b, 0 | b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert!(is_hostname("a-b.example.com") && is_hostname("localhost."));
        assert!(
            !is_hostname("-a") && !is_hostname("a..b") && !is_hostname("") && !is_hostname("a_b")
        );
        assert!(is_ip("::1") && is_ip("10.0.0.1") && !is_ip("10.0.0"));
        assert!(is_email("a@b.c") && !is_email("a") && !is_email("@b"));
        assert!(is_uuid("123e4567-e89b-12d3-a456-426614174000") && !is_uuid("123e4567"));
        let check = |regex, strict, text| header(regex, strict).0(text);
        assert!(
            check(1, true, ":path")
                && check(1, true, "x-a")
                && !check(1, true, "")
                && !check(1, true, "a b")
        );
        assert!(check(1, false, "a b") && !check(1, false, "a\nb"));
        assert!(check(2, true, "a\tb") && !check(2, true, "a\rb"));
    }
}
