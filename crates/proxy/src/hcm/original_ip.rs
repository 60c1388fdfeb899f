//! `original_ip_detection_extensions`: who tells the client's address, when the peer is a proxy that is trusted to.

use std::net::IpAddr;

use nuncio_config::api::core::{CidrRange, TypedExtensionConfig};
use nuncio_config::api::original_ip_header::CustomHeaderConfig;
use nuncio_config::api::original_ip_xff::XffConfig;
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_http::{HeaderMap, Known};
use nuncio_net::IpRange;
use nuncio_route::matchers::HeaderName;
use nuncio_sdk::LocalReply;

use super::forwarded::{self, ForwardedClient};

/// Most addresses of `x-forwarded-for` that are looked at, where trusted ranges say how far to go back. A longer list
/// tells nothing.
const MAX_HOPS: usize = 20;

/// One extension.
#[derive(Debug)]
pub(crate) enum Detector {
    /// The address before this many trusted ones at the end of `x-forwarded-for`.
    TrustedHops {
        hops: u32,
        /// The peer is not added to `x-forwarded-for`.
        skip_append: bool,
    },
    /// The last address in `x-forwarded-for` that is none of these, if the peer is one of them.
    TrustedRanges {
        ranges: Vec<IpRange>,
        skip_append: bool,
    },
    /// A header that holds the address.
    Header {
        name: HeaderName,
        /// The address may be judged internal.
        trusted: bool,
        /// Status for requests without an address; absent: the next extension is asked.
        reject: Option<u16>,
    },
}

/// What an extension says of a request.
struct Verdict {
    client: Option<ForwardedClient>,
    append_peer: bool,
}

impl Detector {
    /// Compiles `original_ip_detection_extensions`.
    ///
    /// # Errors
    /// The first extension that is unknown or not valid.
    pub(super) fn all_from_config(
        extensions: &[TypedExtensionConfig],
    ) -> Result<Vec<Detector>, ConfigError> {
        let detectors = extensions.iter().enumerate().map(|(index, extension)| {
            from_config(extension).within_index("original_ip_detection_extensions", index)
        });
        detectors.collect()
    }

    fn ask(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Verdict, LocalReply> {
        match self {
            Detector::TrustedHops { hops, skip_append } => Ok(Verdict {
                client: forwarded::client_of(headers, *hops),
                append_peer: !skip_append,
            }),
            Detector::TrustedRanges {
                ranges,
                skip_append,
            } => {
                let is_trusted = |ip: IpAddr| ranges.iter().any(|range| range.contains(ip));
                // Envoy adds a peer that is not trusted whatever the extension says of adding.
                if !peer.is_some_and(is_trusted) {
                    return Ok(Verdict {
                        client: None,
                        append_peer: true,
                    });
                }
                Ok(Verdict {
                    client: last_untrusted(headers, is_trusted),
                    append_peer: !skip_append,
                })
            }
            Detector::Header {
                name,
                trusted,
                reject,
            } => {
                let value = headers.get_name(name.as_ref());
                let address = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
                match (address, reject) {
                    (None, Some(status)) => Err(LocalReply::new(
                        *status,
                        "",
                        "rejecting_because_detection_failed",
                    )),
                    _ => Ok(Verdict {
                        client: address.map(|address| ForwardedClient {
                            address,
                            trusted: *trusted,
                        }),
                        append_peer: false,
                    }),
                }
            }
        }
    }
}

/// Asks one extension after the other, until one knows the client; `append_peer` adds the peer to `x-forwarded-for`.
///
/// # Errors
/// The answer to a request that an extension does not let pass.
pub(super) fn detect(
    detectors: &[Detector],
    headers: &mut HeaderMap,
    peer: Option<IpAddr>,
    append_peer: impl Fn(&mut HeaderMap),
) -> Result<Option<ForwardedClient>, LocalReply> {
    for detector in detectors {
        let verdict = detector.ask(headers, peer)?;
        if verdict.append_peer {
            append_peer(headers);
        }
        if verdict.client.is_some() {
            return Ok(verdict.client);
        }
    }
    Ok(None)
}

/// The last address in `x-forwarded-for` that is not trusted; if all are, the first.
fn last_untrusted(
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<ForwardedClient> {
    let list = headers.get(Known::XForwardedFor).unwrap_or_default();
    let hops = memchr::memchr_iter(b',', list).count() + 1;
    if hops > MAX_HOPS {
        return None;
    }
    let mut first = None;
    for entry in list.rsplit(|&byte| byte == b',') {
        let address: IpAddr = std::str::from_utf8(entry.trim_ascii()).ok()?.parse().ok()?;
        first = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    first.map(|address| ForwardedClient {
        address,
        trusted: hops == 1,
    })
}

fn from_config(extension: &TypedExtensionConfig) -> Result<Detector, ConfigError> {
    let TypedExtensionConfig { name, typed_config } = extension;
    let Some(config) = typed_config else {
        return Err(ConfigError::new("typed_config", "value is required"));
    };
    match any::type_of(config) {
        "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig" => {
            xff(any::unpack(config).within("typed_config")?).within("typed_config")
        }
        "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig" => {
            Ok(custom_header(any::unpack(config).within("typed_config")?))
        }
        _ => {
            let message = format!("Original IP detection extension not found: '{name}'");
            Err(ConfigError::new("typed_config", message))
        }
    }
}

fn xff(config: XffConfig) -> Result<Detector, ConfigError> {
    let XffConfig {
        xff_num_trusted_hops: hops,
        xff_trusted_cidrs,
        skip_xff_append,
    } = config;
    let skip_append = convert::bool_or(skip_xff_append.as_ref(), true);
    let Some(trusted) = xff_trusted_cidrs else {
        return Ok(Detector::TrustedHops { hops, skip_append });
    };
    if hops > 0 {
        return Err(ConfigError::new(
            "xff_num_trusted_hops",
            "Cannot set both xff_num_trusted_hops and xff_trusted_cidrs",
        )
        .with_remedy("say either how many hops are trusted, or which addresses"));
    }
    let ranges = trusted.cidrs.iter().enumerate();
    let ranges: Vec<IpRange> = ranges
        .map(|(index, cidr)| range(cidr).within_index("xff_trusted_cidrs.cidrs", index))
        .collect::<Result<_, _>>()?;
    // Without ranges Envoy believes the last address of the list, whoever the peer is.
    Ok(match ranges.is_empty() {
        true => Detector::TrustedHops { hops, skip_append },
        false => Detector::TrustedRanges {
            ranges,
            skip_append,
        },
    })
}

/// A range, of which a malformed one is refused: Envoy leaves it out, and an extension without any then trusts every peer.
pub(super) fn range(cidr: &CidrRange) -> Result<IpRange, ConfigError> {
    let CidrRange {
        address_prefix,
        prefix_len,
    } = cidr;
    let base = address_prefix.parse().map_err(|_| {
        let message = format!("malformed IP address: {address_prefix}");
        ConfigError::new("address_prefix", message)
    })?;
    Ok(IpRange::new(base, convert::u32_or(prefix_len.as_ref(), 0)))
}

fn custom_header(config: CustomHeaderConfig) -> Detector {
    let CustomHeaderConfig {
        header_name,
        allow_extension_to_set_address_as_trusted: trusted,
        reject_with_status,
    } = config;
    Detector::Header {
        name: HeaderName::of_request(&header_name),
        trusted,
        // Only errors reject; whatever else is asked for becomes Envoy's default.
        reject: reject_with_status.map(|status| {
            let code = u16::try_from(status.code).ok();
            code.filter(|code| (400..=599).contains(code))
                .unwrap_or(403)
        }),
    }
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::original_ip_xff::XffTrustedCidrs;
    use nuncio_config::api::protobuf::{BoolValue, UInt32Value};
    use nuncio_config::api::types::HttpStatus;

    use super::*;

    fn cidrs(list: &[(&str, u32)]) -> XffConfig {
        let cidrs = list.iter().map(|&(address, length)| CidrRange {
            address_prefix: address.into(),
            prefix_len: Some(UInt32Value { value: length }),
        });
        XffConfig {
            xff_trusted_cidrs: Some(XffTrustedCidrs {
                cidrs: cidrs.collect(),
            }),
            ..XffConfig::default()
        }
    }

    /// Client, whether it is trusted, and `x-forwarded-for` afterwards.
    fn asked(detector: Detector, name: &str, value: &str) -> (Option<(String, bool)>, String) {
        let mut headers: HeaderMap = [(name, value)].into_iter().collect();
        let peer = "127.0.0.1".parse().unwrap();
        let client = detect(&[detector], &mut headers, Some(peer), |headers| {
            forwarded::append(headers, peer);
        });
        let client = client.unwrap();
        let list = headers.get(Known::XForwardedFor).unwrap_or_default();
        (
            client.map(|client| (client.address.to_string(), client.trusted)),
            String::from_utf8_lossy(list).into_owned(),
        )
    }

    #[test]
    fn trusted_ranges_are_passed_over() {
        let ask = |list: &str| {
            let config = cidrs(&[("127.0.0.0", 8), ("10.0.0.0", 8)]);
            asked(xff(config).unwrap(), "x-forwarded-for", list).0
        };
        let some = |address: &str, trusted| Some((address.to_owned(), trusted));
        assert_eq!(ask("1.2.3.4, 10.0.0.1,10.0.0.2"), some("1.2.3.4", false));
        assert_eq!(ask("1.2.3.4"), some("1.2.3.4", true));
        assert_eq!(ask("10.0.0.1, 10.0.0.2"), some("10.0.0.1", false));
        assert_eq!(ask("1.2.3.4, rubbish, 10.0.0.2"), None);
        assert_eq!(ask("rubbish, 1.2.3.4"), some("1.2.3.4", false));
        assert_eq!(ask(&"10.0.0.1,".repeat(20)), None);
        assert_eq!(ask(&["10.0.0.1"; 20].join(",")), some("10.0.0.1", false));
        assert_eq!(ask(""), None);
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_added_and_not_believed() {
        let detector = xff(cidrs(&[("10.0.0.0", 8)])).unwrap();
        assert_eq!(
            asked(detector, "x-forwarded-for", "1.2.3.4"),
            (None, "1.2.3.4,127.0.0.1".into())
        );
    }

    #[test]
    fn the_peer_is_added_if_asked() {
        let config = XffConfig {
            skip_xff_append: Some(BoolValue { value: false }),
            ..XffConfig::default()
        };
        assert_eq!(
            asked(xff(config).unwrap(), "x-forwarded-for", "1.2.3.4").1,
            "1.2.3.4,127.0.0.1"
        );
        let default = xff(XffConfig::default()).unwrap();
        assert_eq!(asked(default, "x-forwarded-for", "1.2.3.4").1, "1.2.3.4");
    }

    #[test]
    fn configurations_that_trust_by_mistake_are_refused() {
        let both = XffConfig {
            xff_num_trusted_hops: 1,
            ..cidrs(&[("10.0.0.0", 8)])
        };
        assert_eq!(xff(both).unwrap_err().path, "xff_num_trusted_hops");
        assert_eq!(
            xff(cidrs(&[("10.0.0.0", 8), ("10.0", 8)]))
                .unwrap_err()
                .path,
            "xff_trusted_cidrs.cidrs[1].address_prefix"
        );
    }

    #[test]
    fn a_header_may_be_required() {
        let config = |code| CustomHeaderConfig {
            header_name: "X-Client".into(),
            allow_extension_to_set_address_as_trusted: true,
            reject_with_status: Some(HttpStatus { code }),
        };
        assert_eq!(
            asked(custom_header(config(429)), "x-client", "::1").0,
            Some(("::1".into(), true))
        );
        for (code, status) in [(429, 429), (200, 403)] {
            let mut headers: HeaderMap = [("x-client", "no address")].into_iter().collect();
            let detectors = [custom_header(config(code))];
            let reply = detect(&detectors, &mut headers, None, |_| {}).unwrap_err();
            assert_eq!(reply.status, status);
        }
    }
}
