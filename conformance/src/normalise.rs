//! What differs from run to run is replaced by names: ports, times, request ids, the folder of the run.

use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ports::Ports;

/// Replaces what differs from run to run.
pub(crate) struct Normaliser {
    /// Digits of known ports with their placeholders.
    ports: Vec<(String, String)>,
    folder: String,
    /// The address of this machine, which Envoy puts into x-forwarded-for for clients on loopback.
    host: Option<String>,
    /// This year as it stands in a date header.
    year: String,
}

/// The mean length of a Gregorian year.
const SECONDS_PER_YEAR: u64 = 31_556_952;

/// In the event log of outlier detection.
const SINCE_LAST_ACTION: &str = "secs_since_last_action\":\"";

/// Runs of one character longer than this are written as `{{x*count}}`.
const LONG_RUN: usize = 60;

impl Normaliser {
    pub(crate) fn new(ports: &Ports, folder: &Path) -> Self {
        let ports = ports
            .iter()
            .map(|(name, port)| (port.to_string(), format!("{{{{{name}}}}}")))
            .collect();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let year = format!(" {} ", 1970 + now / SECONDS_PER_YEAR);
        Self {
            ports,
            folder: folder.display().to_string(),
            host: host_address(),
            year,
        }
    }

    /// A header line: the values of `date` and `x-envoy-upstream-service-time` go too.
    pub(crate) fn header(&self, line: &str) -> String {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let value = match name.as_str() {
            // A date of another year is a constant of the case, not the proxy's.
            "date" if line.contains(&self.year) => "{{date}}",
            "x-envoy-upstream-service-time" => "{{milliseconds}}",
            _ => return self.text(line),
        };
        format!("{}: {value}", &line[..name.len()])
    }

    /// Any text.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder, "{{folder}}");
        if let Some(host) = &self.host {
            text = text.replace(host, "{{host}}");
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let (replacement, used) = self.variable(rest, out.chars().next_back());
            if used > 0 {
                out.push_str(&replacement);
                rest = &rest[used..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// Received bytes: UTF-8 text stays text, other bytes become `\xNN`.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        self.text(&text)
    }

    /// What stands at the start of `rest` and how long it is; a length of 0 means nothing special.
    fn variable(&self, rest: &str, before: Option<char>) -> (String, usize) {
        let bytes = rest.as_bytes();
        let starts_word = !before.is_some_and(|c| c.is_ascii_alphanumeric());
        let run = bytes.iter().take_while(|byte| **byte == bytes[0]).count();
        if run > LONG_RUN && bytes[0].is_ascii() {
            return (format!("{{{{{}*{run}}}}}", char::from(bytes[0])), run);
        }
        if !starts_word {
            return (String::new(), 0);
        }
        if matches_shape(bytes, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") {
            return ("{{uuid}}".to_owned(), 36);
        }
        if matches_shape(bytes, "dddd-dd-ddTdd:dd:dd") {
            let tail = bytes[19..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
                .count();
            let zulu = usize::from(bytes.get(19 + tail) == Some(&b'Z'));
            return ("{{time}}".to_owned(), 19 + tail + zulu);
        }
        if let Some(seconds) = rest.strip_prefix(SINCE_LAST_ACTION) {
            let digits = seconds.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                let replacement = format!("{SINCE_LAST_ACTION}{{{{seconds}}}}");
                return (replacement, SINCE_LAST_ACTION.len() + digits);
            }
        }
        let digits = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if let Some((_, name)) = self.ports.iter().find(|(port, _)| *port == rest[..digits]) {
            return (name.clone(), digits);
        }
        if let Some(port) = rest.strip_prefix("127.0.0.1:") {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            if digits >= 4 && !self.ports.iter().any(|(known, _)| *known == port[..digits]) {
                return ("127.0.0.1:{{port}}".to_owned(), "127.0.0.1:".len() + digits);
            }
        }
        (String::new(), 0)
    }
}

/// What stands for a loopback client in x-forwarded-for: this machine's first other address, if it has one.
fn host_address() -> Option<String> {
    nuncio_net::interface_addresses()
        .iter()
        .find(|address| address.is_ipv4() && !address.is_loopback())
        .map(IpAddr::to_string)
}

/// A recording as it is on this machine: one without an address of its own calls itself by that of loopback.
pub(crate) fn of_this_machine(recording: String) -> String {
    match host_address() {
        Some(_) => recording,
        None => recording.replace("{{host}}", "127.0.0.1"),
    }
}

/// `h` stands for a hex digit, `d` for a digit, anything else for itself.
fn matches_shape(bytes: &[u8], shape: &str) -> bool {
    bytes.len() >= shape.len()
        && shape.bytes().zip(bytes).all(|(want, got)| match want {
            b'h' => got.is_ascii_hexdigit(),
            b'd' => got.is_ascii_digit(),
            _ => want == *got,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normaliser() -> Normaliser {
        Normaliser {
            ports: vec![("23456".to_owned(), "{{origin}}".to_owned())],
            folder: "/run/x".to_owned(),
            host: Some("192.0.2.2".to_owned()),
            year: " 2026 ".to_owned(),
        }
    }

    #[test]
    fn replaces_ports_times_ids_and_folders() {
        let n = normaliser();
        assert_eq!(
            n.text("127.0.0.1:23456 127.0.0.1:40001 x"),
            "127.0.0.1:{{origin}} 127.0.0.1:{{port}} x"
        );
        assert_eq!(n.text("\"2026-11-22T10:00:00.123Z\""), "\"{{time}}\"");
        assert_eq!(
            n.text("id 0a1b2c3d-0000-4000-8000-0123456789ab."),
            "id {{uuid}}."
        );
        assert_eq!(n.text("/run/x/log"), "{{folder}}/log");
        assert_eq!(n.text("123456"), "123456");
        assert_eq!(
            n.text(r#"{"secs_since_last_action":"12"}"#),
            r#"{"secs_since_last_action":"{{seconds}}"}"#
        );
    }

    #[test]
    fn headers_that_tell_the_time_lose_their_value() {
        assert_eq!(
            normaliser().header("date: Sun, 22 Nov 2026 10:00:00 GMT"),
            "date: {{date}}"
        );
        assert_eq!(
            normaliser().header("date: Sun, 22 Nov 2020 10:00:00 GMT"),
            "date: Sun, 22 Nov 2020 10:00:00 GMT"
        );
        assert_eq!(normaliser().header("X-Other: 1"), "X-Other: 1");
    }

    #[test]
    fn long_runs_are_counted() {
        assert_eq!(normaliser().text(&"a".repeat(100)), "{{a*100}}");
        assert_eq!(normaliser().bytes(b"\xff"), "\\xff");
    }
}
