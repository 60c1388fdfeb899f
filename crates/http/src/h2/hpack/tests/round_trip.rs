//! What one side encodes the other decodes, whatever the headers and the table sizes.

use nuncio_buffer::Buffer;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Decoder, Encoder};
use super::decode;
use crate::HeaderMap;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        // Few names, so that they repeat, and values of all kinds.
        (0..crate::Known::ALL.len()).prop_map(|i| crate::Known::ALL[i].as_bytes().to_vec()),
        prop_oneof![
            Just("link"),
            Just("from"),
            Just("x-a"),
            Just("x-b"),
            Just("refresh")
        ]
        .prop_map(|name| name.as_bytes().to_vec()),
        "[a-z0-9-]{0,40}".prop_map(String::into_bytes),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-c]{0,2}".prop_map(String::into_bytes),
        "[ -~]{0,80}".prop_map(String::into_bytes),
        vec(any::<u8>(), 0..300),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Block(Fields),
    /// The decoder's side announces a table size, and the encoder hears of it.
    Limit(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec((name(), value()), 0..20).prop_map(Step::Block),
        1 => prop_oneof![Just(0), Just(4096), 0..10_000_u32].prop_map(Step::Limit),
    ]
}

/// Pseudo headers first, as the encoder sorts them.
fn sorted(fields: &Fields) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pseudo in [true, false] {
        for (name, value) in fields {
            let is_pseudo = name.first() == Some(&b':');
            if is_pseudo == pseudo && name != b":reason-phrase" && name != b":chunked-spelling" {
                headers.append(name.as_slice(), value);
            }
        }
    }
    headers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn encode_then_decode(cap in prop_oneof![Just(4096), 0..10_000_u32], steps in vec(step(), 1..30)) {
        let (mut encoder, mut decoder) = (Encoder::new(cap), Decoder::new());
        for step in steps {
            match step {
                Step::Limit(limit) => {
                    decoder.set_limit(limit);
                    encoder.set_peer_limit(limit);
                }
                Step::Block(fields) => {
                    let mut headers = HeaderMap::new();
                    for (name, value) in &fields {
                        headers.append(name.as_slice(), value);
                    }
                    let mut out = Buffer::new();
                    encoder.encode(&headers, |_, _| true, &mut out);
                    prop_assert_eq!(decode(&mut decoder, &out), Ok(sorted(&fields)));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(blocks in vec(vec(any::<u8>(), 0..200), 1..10)) {
        let mut decoder = Decoder::new();
        for block in blocks {
            if decode(&mut decoder, &block).is_err() {
                break;
            }
        }
    }
}
