//! `grpc-message`: text, percent-encoded.

/// Appends `text` to `out` as the value of `grpc-message`: what is not printable ASCII, `%` and `~` become `%XX`
/// (Envoy's `PercentEncoding::encode`, which takes `~` for unprintable).
pub fn encode_message(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(text.len());
    for &byte in text {
        if matches!(byte, b' '..b'~') && byte != b'%' {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        }
    }
}

/// The text of a `grpc-message`. What is no valid escape stands for itself, as the specification wants.
#[must_use]
pub fn decode_message(value: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            text.push(high << 4 | low);
            rest = after;
        } else {
            text.push(byte);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &[u8]) -> String {
        let mut out = Vec::new();
        encode_message(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_printable_is_escaped() {
        assert_eq!(encode(b"a 100%\n"), "a 100%25%0A");
        assert_eq!(encode("é~".as_bytes()), "%C3%A9%7E");
    }

    #[test]
    fn decoding_undoes_encoding() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode_message(encode(&all).as_bytes()), all);
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        assert_eq!(decode_message(b"100% of %zz %4"), b"100% of %zz %4");
        assert_eq!(decode_message(b"%e2%82%AC"), "€".as_bytes());
    }
}
