//! `x-request-id` (Envoy's `UUIDRequestIDExtension`).

use nuncio_http::{HeaderMap, Known};
use rand::RngCore;

/// Both digits of every byte.
static HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// Where each byte of a UUID stands in its text.
const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// A random UUID, version 4, in its text form.
pub(crate) fn uuid_v4() -> [u8; 36] {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    random[6] = (random[6] & 0x0f) | 0x40;
    random[8] = (random[8] & 0x3f) | 0x80;
    let mut text = [b'-'; 36];
    for (byte, at) in random.into_iter().zip(PLACES) {
        text[at..at + 2].copy_from_slice(&HEX[usize::from(byte)]);
    }
    text
}

/// What happens to ids that requests bring with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestIds {
    /// Those from outside may stay.
    pub(crate) preserve_external: bool,
    /// The id tells why a request is traced: in the first digit of its third group.
    pub(crate) pack_trace_reason: bool,
}

impl RequestIds {
    /// Gives the request an id, unless it has one that may stay. `edge`: the request comes from outside.
    pub(crate) fn ensure(self, headers: &mut HeaderMap, edge: bool) {
        match headers.get(Known::XRequestId) {
            None | Some(b"") => headers.set(Known::XRequestId, &uuid_v4()),
            Some(_) if edge && !self.preserve_external => {
                headers.set(Known::XRequestId, &uuid_v4());
            }
            // Nobody outside may have a request traced.
            Some(id) if edge && self.pack_trace_reason => {
                if let Ok(mut id) = <[u8; 36]>::try_from(id) {
                    id[14] = b'4';
                    headers.set(Known::XRequestId, &id);
                }
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_version_and_variant() {
        for _ in 0..100 {
            let id = uuid_v4();
            assert_eq!(id[14], b'4');
            assert!(matches!(id[19], b'8' | b'9' | b'a' | b'b'));
            assert!([8, 13, 18, 23].into_iter().all(|i| id[i] == b'-'));
            assert_eq!(id.iter().filter(|b| b.is_ascii_hexdigit()).count(), 32);
        }
        assert_ne!(uuid_v4(), uuid_v4());
    }

    #[test]
    fn an_id_from_outside_is_replaced_unless_preserved() {
        let ids = |preserve_external, pack_trace_reason| RequestIds {
            preserve_external,
            pack_trace_reason,
        };
        let mut headers = HeaderMap::new();
        headers.append(Known::XRequestId, b"mine");
        ids(true, true).ensure(&mut headers, true);
        assert_eq!(headers.get(Known::XRequestId), Some(&b"mine"[..]));
        ids(false, true).ensure(&mut headers, false);
        assert_eq!(headers.get(Known::XRequestId), Some(&b"mine"[..]));
        ids(false, true).ensure(&mut headers, true);
        assert_eq!(headers.get(Known::XRequestId).map(<[u8]>::len), Some(36));
        headers.set(Known::XRequestId, b"");
        ids(true, true).ensure(&mut headers, false);
        assert_eq!(headers.get(Known::XRequestId).map(<[u8]>::len), Some(36));
    }

    #[test]
    fn an_id_from_outside_does_not_say_that_it_is_traced() {
        let id = b"7d2f4dd4-0f2e-9b6c-a1b2-0123456789ab";
        for (edge, pack_trace_reason, digit) in
            [(true, true, b'4'), (false, true, b'9'), (true, false, b'9')]
        {
            let mut headers = HeaderMap::new();
            headers.append(Known::XRequestId, id);
            let ids = RequestIds {
                preserve_external: true,
                pack_trace_reason,
            };
            ids.ensure(&mut headers, edge);
            assert_eq!(headers.get(Known::XRequestId).unwrap()[14], digit);
        }
    }
}
