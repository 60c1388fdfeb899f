//! MurmurHash64A with the seed of libstdc++'s `std::hash`: Envoy's `MURMUR_HASH_2`.

const SEED: u64 = 0xc70f_6907;
const MUL: u64 = 0xc6a4_a793_5bd1_e995;

fn mix(value: u64) -> u64 {
    value ^ (value >> 47)
}

/// The hash of `key`.
pub(super) fn murmur_hash_2(key: &[u8]) -> u64 {
    let mut hash = SEED ^ (key.len() as u64).wrapping_mul(MUL);
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        let word = mix(u64::from_le_bytes(*word).wrapping_mul(MUL)).wrapping_mul(MUL);
        hash = (hash ^ word).wrapping_mul(MUL);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(MUL);
    }
    mix(mix(hash).wrapping_mul(MUL))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of Envoy's `hash_test.cc`.
    #[test]
    fn known_vectors() {
        assert_eq!(murmur_hash_2(b"foo"), 9_631_199_822_919_835_226);
        assert_eq!(murmur_hash_2(b"bar"), 11_474_628_671_133_349_555);
        assert_eq!(murmur_hash_2(b""), 6_142_509_188_972_423_790);
    }
}
