//! Payloads that are sent and expected (`HealthCheck.Payload`).

/// The bytes that hexadecimal digits stand for; `None` if they are none.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    digits
        .chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Whether `bytes` holds all `expected` pieces, in order; other bytes may be between them (Envoy's `PayloadMatcher`).
pub(super) fn contains(expected: &[Vec<u8>], mut bytes: &[u8]) -> bool {
    for piece in expected {
        let found = match piece.is_empty() {
            true => Some(0),
            false => bytes
                .windows(piece.len())
                .position(|window| window == piece),
        };
        match found {
            Some(at) => bytes = &bytes[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_come_in_pairs() {
        assert_eq!(hex("50494e47").as_deref(), Some(b"PING".as_slice()));
        assert_eq!(hex("").as_deref(), Some(b"".as_slice()));
        assert_eq!(hex("5"), None);
        assert_eq!(hex("zz"), None);
        assert_eq!(hex("+1"), None);
    }

    #[test]
    fn pieces_are_found_in_order() {
        let expected = [b"PO".to_vec(), b"NG".to_vec()];
        assert!(contains(&expected, b"xPO..NGy"));
        assert!(!contains(&expected, b"NGPO"));
        assert!(!contains(&expected, b"PO"));
        assert!(contains(&[], b""));
    }
}
