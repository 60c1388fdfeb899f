//! From the small proto messages that are everywhere (durations, percentages, data sources) to plain
//! Rust values. Errors carry an empty path: the caller adds the field with
//! [`Within`](crate::Within).

use std::{io, time::Duration};

use envoy_types::pb::google::protobuf as pb;

use crate::{
    ConfigError,
    api::{
        core::{DataSource, data_source::Specifier},
        types::{FractionalPercent, Percent, fractional_percent::DenominatorType},
    },
};

/// A proto duration as a Rust one.
///
/// # Errors
/// When it is negative, has nanoseconds out of range, or exceeds Envoy's limit: what fits into 64 bits of nanoseconds, 292 years.
pub fn duration(value: &pb::Duration) -> Result<Duration, ConfigError> {
    const MAX_SECONDS: i64 = i64::MAX / 1_000_000_000 - 1;
    let pb::Duration { seconds, nanos } = *value;
    if seconds < 0 || nanos < 0 {
        return Err(ConfigError::new("", "Expected positive duration"));
    }
    if nanos > 999_999_999 || seconds > MAX_SECONDS {
        let error = ConfigError::new("", format!("Duration out-of-range: {seconds}s"));
        return Err(error.with_remedy("at most 9223372035s are possible"));
    }
    Ok(Duration::new(seconds.unsigned_abs(), nanos.unsigned_abs()))
}

/// [`duration`] of a field that may be absent.
///
/// # Errors
/// As [`duration`].
pub fn opt_duration(value: Option<&pb::Duration>) -> Result<Option<Duration>, ConfigError> {
    value.map(duration).transpose()
}

/// A timeout where Envoy takes absence for `default` and zero for "no timeout".
///
/// # Errors
/// As [`duration`].
pub fn timeout(
    value: Option<&pb::Duration>,
    default: Option<Duration>,
) -> Result<Option<Duration>, ConfigError> {
    Ok(match value {
        None => default,
        Some(value) => Some(duration(value)?).filter(|d| !d.is_zero()),
    })
}

/// The value of a `UInt32Value`, or `default`.
pub fn u32_or(value: Option<&pb::UInt32Value>, default: u32) -> u32 {
    value.map_or(default, |v| v.value)
}

/// The value of a `BoolValue`, or `default`.
pub fn bool_or(value: Option<&pb::BoolValue>, default: bool) -> bool {
    value.map_or(default, |v| v.value)
}

/// A fraction with one of Envoy's three denominators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// How many of `denominator`; may exceed it, which means always.
    pub numerator: u32,
    /// 100, 10,000 or 1,000,000.
    pub denominator: u32,
}

impl Fraction {
    /// Whether `random`, a uniformly distributed number, falls into the fraction
    /// (Envoy's `random % denominator < numerator`).
    pub fn hit(self, random: u64) -> bool {
        random % u64::from(self.denominator) < u64::from(self.numerator)
    }

    /// The numerator that this fraction has with a denominator of a million.
    pub fn per_million(self) -> u32 {
        let denominator = u64::from(self.denominator).max(1);
        u32::try_from(u64::from(self.numerator) * 1_000_000 / denominator).unwrap_or(u32::MAX)
    }
}

/// A fractional percentage.
///
/// # Errors
/// When the denominator is an unknown enum number.
pub fn fraction(value: &FractionalPercent) -> Result<Fraction, ConfigError> {
    let denominator = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => 100,
        Ok(DenominatorType::TenThousand) => 10_000,
        Ok(DenominatorType::Million) => 1_000_000,
        Err(_) => {
            return Err(ConfigError::new(
                "denominator",
                format!("unknown enum value {}", value.denominator),
            ));
        }
    };
    Ok(Fraction {
        numerator: value.numerator,
        denominator,
    })
}

/// A percentage, 0 to 100.
///
/// # Errors
/// When it is out of range or not a number.
pub fn percent(value: &Percent) -> Result<f64, ConfigError> {
    if (0.0..=100.0).contains(&value.value) {
        Ok(value.value)
    } else {
        Err(ConfigError::new(
            "value",
            "value must be inside range [0, 100]",
        ))
    }
}

/// The bytes of a data source: read from the file, the environment variable, or inline.
///
/// # Errors
/// When nothing is specified, the file cannot be read, or the variable is not set.
pub fn data_source(source: &DataSource) -> Result<Vec<u8>, ConfigError> {
    let DataSource {
        watched_directory,
        specifier,
    } = source;
    if watched_directory.is_some() {
        return Err(ConfigError::new(
            "watched_directory",
            "unsupported: a data source is read once, not watched",
        ));
    }
    match specifier {
        None => Err(ConfigError::new("", "DataSource: a specifier is required")),
        Some(Specifier::InlineString(text)) => Ok(text.as_bytes().to_vec()),
        Some(Specifier::InlineBytes(bytes)) => Ok(bytes.clone()),
        Some(Specifier::Filename(name)) => std::fs::read(name).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                ConfigError::new("filename", format!("Invalid path: {name}"))
            }
            _ => ConfigError::new("filename", format!("unable to read file {name}: {e}")),
        }),
        Some(Specifier::EnvironmentVariable(name)) => std::env::var_os(name)
            .map(|value| value.into_encoded_bytes())
            .ok_or_else(|| {
                ConfigError::new(
                    "environment_variable",
                    format!("Environment variable doesn't exist: {name}"),
                )
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let d = |seconds, nanos| duration(&pb::Duration { seconds, nanos });
        assert_eq!(d(1, 500_000_000).unwrap(), Duration::from_millis(1500));
        assert!(d(-1, 0).is_err() && d(0, -1).is_err() && d(0, 1_000_000_000).is_err());
        assert!(d(9_223_372_035, 0).is_ok() && d(9_223_372_036, 0).is_err());
        let zero = pb::Duration::default();
        assert_eq!(
            timeout(Some(&zero), Some(Duration::from_secs(15))).unwrap(),
            None
        );
        assert_eq!(
            timeout(None, Some(Duration::from_secs(15))).unwrap(),
            Some(Duration::from_secs(15))
        );
    }

    #[test]
    fn fractions() {
        let f = fraction(&FractionalPercent {
            numerator: 25,
            denominator: 1,
        })
        .unwrap();
        assert_eq!(
            f,
            Fraction {
                numerator: 25,
                denominator: 10_000
            }
        );
        assert!(f.hit(24) && !f.hit(25) && f.hit(10_000));
        assert!(
            fraction(&FractionalPercent {
                numerator: 1,
                denominator: 9
            })
            .is_err()
        );
        assert!(percent(&Percent { value: f64::NAN }).is_err());
    }

    #[test]
    fn data_sources() {
        let inline = DataSource {
            specifier: Some(Specifier::InlineString("x".into())),
            ..Default::default()
        };
        assert_eq!(data_source(&inline).unwrap(), b"x");
        let file = DataSource {
            specifier: Some(Specifier::Filename("/no/such".into())),
            ..Default::default()
        };
        assert_eq!(
            data_source(&file).unwrap_err().message,
            "Invalid path: /no/such"
        );
        assert!(data_source(&DataSource::default()).is_err());
    }
}
