//! Where a session's host is written: `envoy.http.stateful_session.{cookie,header,envelope}`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::session_cookie::CookieBasedSessionState;
use nuncio_config::api::session_envelope::EnvelopeSessionState;
use nuncio_config::api::session_header::HeaderBasedSessionState;
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_http::{HeaderMap, Known};
use nuncio_route::matchers::cookie;
use prost::Message;

/// Where the host is written.
pub(super) enum SessionState {
    Cookie(Cookie),
    /// A header of this name, to and from the client.
    Header(Box<str>),
    /// A header that the upstream uses itself: the host is put around its value.
    Envelope(Box<str>),
}

pub(super) struct Cookie {
    name: Box<str>,
    /// Empty is every path.
    path: Box<str>,
    /// `None` for as long as the client's own session.
    ttl: Option<Duration>,
    /// What follows name and value when it is set.
    attributes: Box<str>,
}

/// Envoy's own message in a cookie's value.
#[derive(Clone, PartialEq, Message)]
struct CookieValue {
    #[prost(string, tag = "1")]
    address: String,
    /// Seconds since 1970; 0 never.
    #[prost(int64, tag = "2")]
    expires: i64,
}

/// What one request says.
pub(super) struct Session(Option<String>);

/// Between the host and the upstream's own value in an envelope.
const ENVELOPE: &str = ";UV:";

impl Session {
    /// The host that the client has met before.
    pub(super) fn address(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl SessionState {
    /// The name that Envoy knows this extension by.
    pub(super) fn extension(&self) -> &'static str {
        match self {
            SessionState::Cookie(_) => "envoy.http.stateful_session.cookie",
            SessionState::Header(_) => "envoy.http.stateful_session.header",
            SessionState::Envelope(_) => "envoy.http.stateful_session.envelope",
        }
    }

    pub(super) fn from_config(config: &Any) -> Result<SessionState, ConfigError> {
        let named = |name: &str, field: &str| match name.is_empty() {
            true => Err(ConfigError::new(
                field,
                "value length must be at least 1 characters",
            )),
            false => Ok(Box::<str>::from(name.to_ascii_lowercase())),
        };
        if any::is::<HeaderBasedSessionState>(config) {
            let HeaderBasedSessionState { name } = any::unpack(config)?;
            return Ok(SessionState::Header(named(&name, "name")?));
        }
        if any::is::<EnvelopeSessionState>(config) {
            let EnvelopeSessionState { header } = any::unpack(config)?;
            let name = header.unwrap_or_default().name;
            return Ok(SessionState::Envelope(named(&name, "header.name")?));
        }
        let CookieBasedSessionState { cookie } = any::unpack(config)?;
        let message = cookie.unwrap_or_default();
        named(&message.name, "cookie.name")?;
        let ttl = convert::opt_duration(message.ttl.as_ref()).within("cookie.ttl")?;
        let ttl = ttl.filter(|ttl| ttl.as_secs() > 0);
        let mut attributes = String::new();
        if let Some(ttl) = ttl {
            attributes += &format!("; Max-Age={}", ttl.as_secs());
        }
        if !message.path.is_empty() {
            attributes += &format!("; Path={}", message.path);
        }
        for attribute in &message.attributes {
            attributes += &match attribute.value.is_empty() {
                true => format!("; {}", attribute.name),
                false => format!("; {}={}", attribute.name, attribute.value),
            };
        }
        attributes += "; HttpOnly";
        Ok(SessionState::Cookie(Cookie {
            name: message.name.into(),
            path: message.path.into(),
            ttl,
            attributes: attributes.into(),
        }))
    }

    /// Reads a request; `None` when it is not concerned. An envelope is opened, so that the upstream sees its own value.
    pub(super) fn begin(&self, headers: &mut HeaderMap) -> Option<Session> {
        match self {
            SessionState::Cookie(cookie) => cookie
                .is_for(headers.path().unwrap_or_default())
                .then(|| Session(cookie.read(headers))),
            SessionState::Header(name) => {
                let value = headers.get_name(name.as_bytes());
                Some(Session(value.and_then(decode)))
            }
            SessionState::Envelope(name) => {
                let value = headers.get_name(name.as_bytes()).unwrap_or_default();
                let Some((host, own)) = open(value) else {
                    return Some(Session(None));
                };
                headers.set(name.as_bytes(), &own);
                Some(Session(host))
            }
        }
    }

    /// Tells the client of `host`; of a host that it knows already only where the upstream's value is wrapped.
    pub(super) fn end(&self, host: &str, is_new: bool, headers: &mut HeaderMap) {
        match self {
            SessionState::Cookie(cookie) if is_new => {
                headers.append(Known::SetCookie, cookie.write(host).as_bytes());
            }
            SessionState::Header(name) if is_new => {
                headers.set(name.as_bytes(), BASE64.encode(host).as_bytes());
            }
            SessionState::Cookie(_) | SessionState::Header(_) => {}
            SessionState::Envelope(name) => {
                let mut values = headers.get_all(name.as_bytes());
                // Without a value, or with several, there is no session of the upstream's to go with.
                let (Some(own), None) = (values.next(), values.next()) else {
                    return;
                };
                let value = format!("{}{ENVELOPE}{}", BASE64.encode(host), BASE64.encode(own));
                headers.set(name.as_bytes(), value.as_bytes());
            }
        }
    }
}

impl Cookie {
    fn is_for(&self, path: &[u8]) -> bool {
        let Some(rest) = path.strip_prefix(self.path.as_bytes()) else {
            return false;
        };
        self.path.is_empty()
            || self.path.ends_with('/')
            || matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))
    }

    fn read(&self, headers: &HeaderMap) -> Option<String> {
        let value = cookie(headers, self.name.as_bytes())?;
        let bytes = BASE64.decode(value).ok()?;
        // An address alone is what earlier versions of Envoy wrote.
        let Ok(CookieValue { address, expires }) = CookieValue::decode(&*bytes) else {
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        };
        let is_over = expires != 0 && expires < now();
        (!is_over && !address.is_empty()).then_some(address)
    }

    fn write(&self, host: &str) -> String {
        let value = CookieValue {
            address: host.to_owned(),
            expires: self.ttl.map_or(0, |ttl| now() + ttl.as_secs() as i64),
        };
        let value = BASE64.encode(value.encode_to_vec());
        format!("{}=\"{value}\"{}", self.name, self.attributes)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs() as i64
}

/// Text in base64; `None` if it is none, or empty.
fn decode(value: &[u8]) -> Option<String> {
    let bytes = BASE64
        .decode(value)
        .ok()
        .filter(|bytes| !bytes.is_empty())?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Host and upstream's value of an envelope.
fn open(value: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
    let text = std::str::from_utf8(value).ok()?;
    let (host, own) = text.rsplit_once(ENVELOPE)?;
    let own = BASE64.decode(own).ok().filter(|own| !own.is_empty())?;
    Some((decode(host.as_bytes()), own))
}

#[cfg(test)]
mod tests;
