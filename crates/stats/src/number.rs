//! Floating-point numbers as Envoy's writers print them.

use std::fmt::Write;

/// As C's `%.{digits}g`: `digits` significant digits, no trailing zeros, scientific when the exponent is below -4
/// or not below `digits`.
pub(crate) fn write_general(out: &mut String, value: f64, digits: usize) {
    if let Some(word) = not_a_number(value) {
        out.push_str(word);
        return;
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = split(&scientific);
    let mantissa = trim_zeros(mantissa);
    if (-4..digits as i32).contains(&exponent) {
        write_fixed(out, mantissa, exponent);
    } else {
        write_scientific(out, mantissa, exponent);
    }
}

/// The fewest digits that read back as the same number, as fmtlib's `{}` prints them: scientific when the exponent
/// is below -4 or above 15.
pub(crate) fn write_shortest(out: &mut String, value: f64) {
    if let Some(word) = not_a_number(value) {
        out.push_str(word);
        return;
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split(&scientific);
    if (-4..16).contains(&exponent) {
        write_fixed(out, mantissa, exponent);
    } else {
        write_scientific(out, mantissa, exponent);
    }
}

/// As C++'s `std::to_chars`: the shortest text that reads back as the same number, plain rather than scientific if
/// both are as long; `null` if it is not a number, which is how JSON says so.
pub(crate) fn write_json(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str("null");
        return;
    }
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = split(&shortest);
    let (mut fixed, mut scientific) = (String::new(), String::new());
    write_fixed(&mut fixed, mantissa, exponent);
    write_scientific(&mut scientific, mantissa, exponent);
    out.push_str(if fixed.len() <= scientific.len() {
        &fixed
    } else {
        &scientific
    });
}

fn not_a_number(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("nan"),
        f64::INFINITY => Some("inf"),
        f64::NEG_INFINITY => Some("-inf"),
        _ => None,
    }
}

/// Mantissa and exponent of Rust's scientific notation.
fn split(scientific: &str) -> (&str, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn trim_zeros(mantissa: &str) -> &str {
    if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    }
}

fn write_scientific(out: &mut String, mantissa: &str, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    // Writing to a String does not fail.
    let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.abs());
}

fn write_fixed(out: &mut String, mantissa: &str, exponent: i32) {
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    out.push_str(sign);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).map(char::from);
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.extend(digits);
        return;
    }
    let whole = exponent as usize + 1;
    let mut written = 0;
    for digit in digits {
        if written == whole {
            out.push('.');
        }
        out.push(digit);
        written += 1;
    }
    out.extend(std::iter::repeat_n('0', whole.saturating_sub(written)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(write: impl Fn(&mut String, f64), value: f64) -> String {
        let mut out = String::new();
        write(&mut out, value);
        out
    }

    #[test]
    fn general() {
        let six = |value| with(|out, value| write_general(out, value, 6), value);
        assert_eq!(six(0.5), "0.5");
        assert_eq!(six(0.0), "0");
        assert_eq!(six(1_800_000.0), "1.8e+06");
        assert_eq!(six(600_000.0), "600000");
        assert_eq!(six(0.1), "0.1");
        assert_eq!(six(1234567.0), "1.23457e+06");
        assert_eq!(six(0.00001), "1e-05");
        assert_eq!(six(-12.5), "-12.5");
        let many = |value| with(|out, value| write_general(out, value, 32), value);
        assert_eq!(many(1_800_000.0), "1800000");
        assert_eq!(many(1085.9668508287293), "1085.966850828729320710408501327");
        assert_eq!(
            many(13.481481481481481),
            "13.481481481481480955153529066592"
        );
        assert_eq!(many(f64::NAN), "nan");
    }

    #[test]
    fn shortest() {
        let text = |value| with(write_shortest, value);
        assert_eq!(text(37.15), "37.15");
        assert_eq!(text(300_000.0), "300000");
        assert_eq!(text(0.0), "0");
        assert_eq!(text(1e16), "1e+16");
        assert_eq!(text(f64::NAN), "nan");
    }

    #[test]
    fn json() {
        let text = |value| with(write_json, value);
        assert_eq!(text(0.5), "0.5");
        assert_eq!(text(300_000.0), "3e+05");
        assert_eq!(text(60_000.0), "60000");
        assert_eq!(text(1_800_000.0), "1800000");
        assert_eq!(text(41.833333333333336), "41.833333333333336");
        assert_eq!(text(f64::NAN), "null");
    }
}
