//! `grpc-timeout`.

use std::time::Duration;

/// Largest number of a `grpc-timeout`: eight digits.
pub const MAX_TIMEOUT_VALUE: u64 = 99_999_999;

/// The time that a `grpc-timeout` names: a number of at most eight digits and a unit (`H M S m u n`). Times below a
/// millisecond are rounded up to milliseconds, as in Envoy's `Grpc::Common::getGrpcTimeout`.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits
        .iter()
        .fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_millis(count.div_ceil(1_000)),
        b'n' => Duration::from_millis(count.div_ceil(1_000_000)),
        _ => return None,
    })
}

/// The `grpc-timeout` of a time, in the smallest unit from milliseconds up that eight digits can hold; what a unit
/// cannot hold of it is dropped (Envoy's `Grpc::Common::toGrpcTimeout`).
#[must_use]
pub fn format_timeout(timeout: Duration) -> String {
    let milliseconds = timeout.as_millis();
    let seconds = milliseconds / 1000;
    let units = [
        (milliseconds, 'm'),
        (seconds, 'S'),
        (seconds / 60, 'M'),
        (seconds / 3600, 'H'),
    ];
    let max = u128::from(MAX_TIMEOUT_VALUE);
    let fits = units.into_iter().find(|(count, _)| *count <= max);
    let (count, unit) = fits.unwrap_or((max, 'H'));
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_units() {
        let ms = |value: &str| parse_timeout(value.as_bytes()).map(|time| time.as_millis());
        assert_eq!(ms("2H"), Some(7_200_000));
        assert_eq!(ms("3M"), Some(180_000));
        assert_eq!(ms("10S"), Some(10_000));
        assert_eq!(ms("99999999m"), Some(99_999_999));
        assert_eq!(ms("1u"), Some(1));
        assert_eq!(ms("1000001n"), Some(2));
        assert_eq!(ms("0m"), Some(0));
        for bad in [
            "",
            "S",
            "1",
            "1x",
            "123456789S",
            "-1S",
            "+1S",
            "1 S",
            "1.5S",
        ] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_unit_grows_with_the_time() {
        let written = |seconds| format_timeout(Duration::from_secs(seconds));
        assert_eq!(format_timeout(Duration::from_millis(1500)), "1500m");
        assert_eq!(written(99_999), "99999000m");
        assert_eq!(written(100_000), "100000S");
        assert_eq!(written(100_000_000), "1666666M");
        assert_eq!(written(6_000_000_000), "1666666H");
        assert_eq!(format_timeout(Duration::MAX), "99999999H");
    }
}
