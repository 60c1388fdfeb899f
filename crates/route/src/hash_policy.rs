//! `RouteAction.HashPolicy`: what a hashing load balancer is told of a request, so that like requests meet the same
//! host.

use std::time::Duration;

use nuncio_config::api::route::route_action::HashPolicy as Message;
use nuncio_config::api::route::route_action::hash_policy::{
    ConnectionProperties, Cookie as CookieMessage, CookieAttribute, FilterState,
    Header as HeaderMessage, PolicySpecifier, QueryParameter,
};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_http::HeaderMap;
use nuncio_net::Address;
use nuncio_sdk::StreamInfo;
use smallvec::SmallVec;
use twox_hash::XxHash64;

use crate::matchers::{HeaderName, cookie, query};
use crate::regex::RegexRewrite;

/// A list of policies, whose hashes are put together.
#[derive(Debug)]
pub struct HashPolicy(Box<[Method]>);

#[derive(Debug)]
struct Method {
    kind: Kind,
    /// With a hash at hand, those that follow do not count.
    terminal: bool,
}

#[derive(Debug)]
enum Kind {
    Header(HeaderName, Option<Box<RegexRewrite>>),
    Cookie(Cookie),
    SourceIp,
    QueryParameter(Box<str>),
    FilterState(Box<str>),
}

#[derive(Debug)]
struct Cookie {
    name: Box<str>,
    /// Given: the cookie is made if the request has none. Zero: it lasts as long as the client's session.
    ttl: Option<Duration>,
    /// What follows name and value when the cookie is set.
    attributes: Box<str>,
}

impl HashPolicy {
    /// Compiles the messages; `None` without any.
    ///
    /// # Errors
    /// Everything that is wrong, with paths that begin with the index (`[0].header.regex_rewrite`).
    pub fn from_config(messages: &[Message]) -> Result<Option<HashPolicy>, Vec<ConfigError>> {
        let mut methods = Vec::with_capacity(messages.len());
        let mut errors = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            match Method::from_config(message) {
                Ok(method) => methods.extend(method),
                Err(error) => errors.push(error.within(format_args!("[{index}]"))),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok((!methods.is_empty()).then(|| HashPolicy(methods.into())))
    }

    /// The hash of a request; `None` when it has nothing of what is to be hashed. A cookie that has to be made is given
    /// to `set_cookie` as the value of a `set-cookie` header.
    pub fn hash(
        &self,
        headers: &HeaderMap,
        info: &StreamInfo,
        mut set_cookie: impl FnMut(String),
    ) -> Option<u64> {
        let mut hash: Option<u64> = None;
        for Method { kind, terminal } in &self.0 {
            let new = match kind {
                Kind::Header(name, rewrite) => of_header(headers, name, rewrite.as_deref()),
                Kind::Cookie(cookie) => cookie.hash(headers, info, &mut set_cookie),
                Kind::SourceIp => match &*info.remote_address {
                    Address::Ip(address) => Some(of(address.ip().to_string().as_bytes())),
                    _ => None,
                },
                Kind::QueryParameter(name) => headers
                    .path()
                    .and_then(|path| query::first_value(path, name.as_bytes()))
                    .map(of),
                Kind::FilterState(key) => {
                    let state = info.filter_state.as_deref();
                    state.and_then(|state| state.get(key)?.hash())
                }
            };
            if let Some(new) = new {
                // Rotated, so that two equal rules do not cancel each other.
                hash = Some(hash.map_or(0, |hash| hash.rotate_left(1)) ^ new);
            }
            if *terminal && hash.is_some() {
                break;
            }
        }
        hash
    }
}

impl Method {
    /// `None` for a policy that hashes nothing.
    fn from_config(message: &Message) -> Result<Option<Method>, ConfigError> {
        let Message {
            terminal,
            policy_specifier,
        } = message;
        let required = |text: &str, field: &str| match text.is_empty() {
            true => Err(ConfigError::new(
                field,
                "value length must be at least 1 characters",
            )),
            false => Ok(()),
        };
        let kind = match policy_specifier {
            None => return Err(ConfigError::new("", "value is required: policy_specifier")),
            Some(PolicySpecifier::Header(HeaderMessage {
                header_name,
                regex_rewrite,
            })) => {
                required(header_name, "header.header_name")?;
                let rewrite = regex_rewrite.as_ref().map(RegexRewrite::from_config);
                let rewrite = rewrite.transpose().within("header.regex_rewrite")?;
                Kind::Header(HeaderName::of_request(header_name), rewrite.map(Box::new))
            }
            Some(PolicySpecifier::Cookie(cookie)) => {
                required(&cookie.name, "cookie.name")?;
                Kind::Cookie(Cookie::from_config(cookie).within("cookie")?)
            }
            Some(PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip })) => {
                if !source_ip {
                    return Ok(None);
                }
                Kind::SourceIp
            }
            Some(PolicySpecifier::QueryParameter(QueryParameter { name })) => {
                required(name, "query_parameter.name")?;
                Kind::QueryParameter(name.as_str().into())
            }
            Some(PolicySpecifier::FilterState(FilterState { key })) => {
                required(key, "filter_state.key")?;
                Kind::FilterState(key.as_str().into())
            }
        };
        Ok(Some(Method {
            kind,
            terminal: *terminal,
        }))
    }
}

fn of(text: &[u8]) -> u64 {
    XxHash64::oneshot(0, text)
}

/// Of all values of a header, in an order of their own.
fn of_header(
    headers: &HeaderMap,
    name: &HeaderName,
    rewrite: Option<&RegexRewrite>,
) -> Option<u64> {
    let chained = |values: &mut dyn Iterator<Item = &[u8]>| values.fold(0, XxHash64::oneshot);
    let mut values: SmallVec<[&[u8]; 4]> = headers.get_all(name.as_ref()).collect();
    if values.is_empty() {
        return None;
    }
    let Some(rewrite) = rewrite else {
        values.sort_unstable();
        return Some(chained(&mut values.into_iter()));
    };
    let rewritten = values.iter().map(|value| {
        let mut new = Vec::with_capacity(value.len());
        rewrite.replace_all(value, &mut new);
        new
    });
    let mut rewritten: SmallVec<[Vec<u8>; 1]> = rewritten.collect();
    rewritten.sort_unstable();
    Some(chained(&mut rewritten.iter().map(Vec::as_slice)))
}

impl Cookie {
    fn from_config(message: &CookieMessage) -> Result<Cookie, ConfigError> {
        let CookieMessage {
            name,
            ttl,
            path,
            attributes,
        } = message;
        let ttl = convert::opt_duration(ttl.as_ref()).within("ttl")?;
        let mut text = String::new();
        if let Some(seconds) = ttl.map(|ttl| ttl.as_secs()).filter(|seconds| *seconds > 0) {
            text += &format!("; Max-Age={seconds}");
        }
        if !path.is_empty() {
            text += &format!("; Path={path}");
        }
        for CookieAttribute { name, value } in attributes {
            text += &match value.is_empty() {
                true => format!("; {name}"),
                false => format!("; {name}={value}"),
            };
        }
        text += "; HttpOnly";
        Ok(Cookie {
            name: name.as_str().into(),
            ttl,
            attributes: text.into(),
        })
    }

    fn hash(
        &self,
        headers: &HeaderMap,
        info: &StreamInfo,
        set_cookie: &mut impl FnMut(String),
    ) -> Option<u64> {
        let value = cookie(headers, self.name.as_bytes()).filter(|value| !value.is_empty());
        if let Some(value) = value {
            return Some(of(value));
        }
        self.ttl?;
        // Envoy's choice, which depends on the client's port: like a random one, but without a state.
        let seed = format!("{}{}", info.remote_address, info.connection.local_address);
        let value = format!("{:016x}", of(seed.as_bytes()));
        set_cookie(format!("{}=\"{value}\"{}", self.name, self.attributes));
        Some(of(value.as_bytes()))
    }
}

#[cfg(test)]
mod tests;
