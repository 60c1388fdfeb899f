//! What the decoder refuses, and what it counts.

use super::super::{Decoder, Error, Limit, Limits, Visit};
use super::{NO_LIMITS, decode, decode_with, hex};
use crate::{HeaderMap, Known};

fn error(dump: &str) -> Error {
    decode(&mut Decoder::new(), &hex(dump)).unwrap_err()
}

#[test]
fn rfc7541_2_3_3_index_outside_of_the_tables() {
    // Index 0, the first and a far dynamic entry of an empty table; as a field and as a name.
    for dump in ["80", "be", "ffff03", "7f00 0161", "0f2f 0161", "1f2f 0161"] {
        assert_eq!(error(dump), Error::InvalidIndex, "{dump}");
    }
}

#[test]
fn rfc7541_5_1_integers() {
    for dump in [
        "ff ffffffff ffffffff ffff",
        "ff 8080808080 00",
        "ff 80ffffff7f",
        "00 7f ffffffff 1f",
    ] {
        assert_eq!(error(dump), Error::IntegerOverflow, "{dump}");
    }
    for dump in [
        "ff", "ff80", "40", "4001", "400161", "40016101", "00 7f ff", "3f",
    ] {
        assert_eq!(error(dump), Error::Truncated, "{dump}");
    }
    assert_eq!(error("ff 80feffff0f"), Error::InvalidIndex, "2^32 - 1");
}

#[test]
fn rfc7541_5_2_huffman_errors() {
    assert_eq!(error("4084 ffffffff 0161"), Error::HuffmanEos);
    assert_eq!(error("0084 ffffffff 0161"), Error::HuffmanEos);
    assert_eq!(error("0001 6181 00"), Error::HuffmanPadding);
    assert_eq!(error("4001 6182 07ff"), Error::HuffmanPadding);
}

#[test]
fn rfc7541_4_2_size_updates_stand_at_the_beginning() {
    let mut decoder = Decoder::new();
    assert!(decode(&mut decoder, &hex("20 3fe11f 82")).is_ok());
    assert_eq!(error("82 20"), Error::SizeUpdateMisplaced);
    assert!(decode(&mut decoder, &hex("20 20 20 82")).is_ok());
    assert_eq!(error("3fe21f"), Error::SizeUpdateTooLarge);
}

#[test]
fn rfc7541_4_2_a_lowered_limit_wants_an_update() {
    let lowered = |limits: &[u32]| {
        let mut decoder = Decoder::new();
        limits.iter().for_each(|&limit| decoder.set_limit(limit));
        decoder
    };
    assert_eq!(
        decode(&mut lowered(&[100]), &hex("82")),
        Err(Error::SizeUpdateMissing)
    );
    assert_eq!(
        decode(&mut lowered(&[100]), &hex("3f46 82")),
        Err(Error::SizeUpdateTooLarge),
        "101"
    );
    assert!(decode(&mut lowered(&[100]), &hex("3f45 82")).is_ok());
    // Lowered and raised between two blocks: the smallest first, then up to the limit.
    assert_eq!(
        decode(&mut lowered(&[0, 4096]), &hex("3fe11f 82")),
        Err(Error::SizeUpdateTooLarge)
    );
    assert!(decode(&mut lowered(&[0, 4096]), &hex("20 3fe11f 82")).is_ok());
    assert!(decode(&mut lowered(&[0, 4096]), &hex("20 82")).is_ok());
    assert!(decode(&mut lowered(&[8192]), &hex("82")).is_ok(), "raised");
    assert!(decode(&mut lowered(&[8192]), &hex("3fe13f 82")).is_ok());
}

#[test]
fn rfc7541_4_2_an_update_evicts() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &hex("4001 6101 62 4001 6301 64")).unwrap();
    assert_eq!(decoder.entries().count(), 2);
    decode(&mut decoder, &hex("3f05 be")).unwrap();
    assert_eq!(decoder.entries().count(), 1);
    assert_eq!(
        decode(&mut decoder, &hex("bf")),
        Err(Error::InvalidIndex),
        "the older one is gone"
    );
}

#[test]
fn rfc7541_4_4_a_name_may_come_from_the_entry_that_is_evicted() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &hex("3f09 4004 6e61 6d65 0131")).unwrap();
    for value in [b'2', b'3'] {
        let headers = decode(&mut decoder, &[0x7e, 1, value]).unwrap();
        assert_eq!(headers.get_str("name"), Some(&[value][..]));
        assert_eq!(decoder.entries().count(), 1);
    }
    // Too large for the table, which is empty then; the field is there nevertheless.
    let headers = decode(&mut decoder, &hex("7e06 3132 3334 3536")).unwrap();
    assert_eq!(headers.get_str("name"), Some(&b"123456"[..]));
    assert_eq!(decoder.entries().count(), 0);
}

#[test]
fn beyond_a_limit_the_table_stays_in_step() {
    let limits = |bytes, count| Limits { bytes, count };
    let block = hex("4001 6101 31 4001 6201 32 4001 6301 33");
    for (limits, exceeded, stored) in [
        (limits(6, 3), None, 3),
        (limits(5, 3), Some(Limit::Bytes), 2),
        (limits(6, 2), Some(Limit::Count), 2),
        (limits(0, 0), Some(Limit::Bytes), 0),
    ] {
        let mut decoder = Decoder::new();
        let (headers, decoded) = decode_with(&mut decoder, &block, limits).unwrap();
        assert_eq!((decoded.exceeded, headers.len()), (exceeded, stored));
        assert_eq!(
            decode(&mut decoder, &[0xbe]).unwrap().get_str("c"),
            Some(&b"3"[..])
        );
    }
}

#[test]
fn the_caller_sees_each_field_and_decides() {
    let block = hex("82 84 6601 78 4004 5570 7065 0131 0003 782d 6183 18c6 3f");
    let mut decoder = Decoder::new();
    let mut headers = HeaderMap::new();
    let mut seen = Vec::new();
    let result = decoder.decode(&block, &mut headers, NO_LIMITS, |headers, field| {
        seen.push((field.known, field.name.to_vec(), field.value.to_vec()));
        match field.known {
            Some(Known::Host) => {
                headers.append(Known::Authority, field.value);
                Visit::Skip
            }
            Some(_) => Visit::Store,
            None => Visit::Skip,
        }
    });
    result.unwrap();
    let names: Vec<_> = seen.iter().map(|(known, ..)| *known).collect();
    assert_eq!(
        names,
        [
            Some(Known::Method),
            Some(Known::Path),
            Some(Known::Host),
            None,
            None
        ]
    );
    assert_eq!((&seen[3].1[..], &seen[3].2[..]), (&b"Uppe"[..], &b"1"[..]));
    assert_eq!(
        (&seen[4].1[..], &seen[4].2[..]),
        (&b"x-a"[..], &b"aaaa"[..])
    );
    assert_eq!(headers.len(), 3);
    assert_eq!(headers.authority(), Some(&b"x"[..]));
}

#[test]
fn a_bomb_of_references_takes_no_memory() {
    let mut block = vec![0x40, 1, b'x'];
    super::super::integer::write(0, 7, 4000, &mut block);
    block.extend(vec![b'v'; 4000]);
    block.extend(vec![0xbe; 60_000]);
    let limits = Limits {
        bytes: 60 << 10,
        count: 100,
    };
    let (headers, decoded) = decode_with(&mut Decoder::new(), &block, limits).unwrap();
    assert_eq!(decoded.exceeded, Some(Limit::Bytes));
    assert!(headers.capacity() <= 256 << 10);
}

#[test]
fn rfc7541_2_3_2_the_newest_entry_comes_first() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &hex("4001 61 01 31 4001 62 01 32")).unwrap();
    let both = decode(&mut decoder, &hex("be bf")).unwrap();
    let both: Vec<_> = both.iter().map(|(_, value)| value[0]).collect();
    assert_eq!(both, [b'2', b'1']);
    assert_eq!(
        decode(&mut decoder, &hex("c0")).unwrap_err(),
        Error::InvalidIndex
    );
}

#[test]
fn rfc7541_4_1_an_entry_has_32_bytes_more_than_its_texts() {
    // Two entries of 34 bytes; a table of 68, and one of 67.
    for (update, fits) in [("3f25", true), ("3f24", false)] {
        let mut decoder = Decoder::new();
        let block = hex(&format!("{update} 4001 61 01 31 4001 62 01 32 be"));
        decode(&mut decoder, &block).unwrap();
        assert_eq!(decode(&mut decoder, &hex("bf")).is_ok(), fits, "{update}");
    }
}

#[test]
fn rfc7541_4_4_an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new();
    let block = hex("3f09 4001 61 01 31 400a 78787878787878787878 00");
    decode(&mut decoder, &block).unwrap();
    assert_eq!(
        decode(&mut decoder, &hex("be")).unwrap_err(),
        Error::InvalidIndex
    );
}

#[test]
fn rfc7541_6_2_only_incremental_indexing_makes_entries() {
    for literal in ["00", "10"] {
        let mut decoder = Decoder::new();
        decode(&mut decoder, &hex(&format!("{literal}01 61 01 31"))).unwrap();
        assert_eq!(
            decode(&mut decoder, &hex("be")).unwrap_err(),
            Error::InvalidIndex
        );
    }
}
