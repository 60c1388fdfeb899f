//! `RING_HASH`: every host has many places on a ring, and a hash belongs to the next one (ketama, as in Envoy's
//! `RingHashLoadBalancer`: the same key goes to the same host).

use std::sync::Arc;

use nuncio_stats::Group;
use twox_hash::XxHash64;

use super::tied::{self, Place};
use super::{HashTable, HashingOptions, MakeTable, OwnHashPolicy, Shares, key_of};
use crate::lb::murmur::murmur_hash_2;
use crate::stats::RingHashStats as S;

/// `hash_function`
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum HashFunction {
    /// `XX_HASH`: XXH64.
    #[default]
    XxHash,
    /// `MURMUR_HASH_2`: as libstdc++'s `std::hash`.
    Murmur2,
}

/// The policy.
#[derive(Clone, Debug, PartialEq)]
pub struct RingHash {
    /// `minimum_ring_size`; 1024 unless told.
    pub min_size: u64,
    /// `maximum_ring_size`; 8 Mi unless told; not below the minimum.
    pub max_size: u64,
    /// How places are computed.
    pub function: HashFunction,
    /// What it has in common with Maglev.
    pub hashing: HashingOptions,
    /// Its own hash policy.
    pub hash_policy: Option<Arc<OwnHashPolicy>>,
}

impl Default for RingHash {
    fn default() -> Self {
        Self {
            min_size: 1024,
            max_size: 8 * 1024 * 1024,
            function: HashFunction::default(),
            hashing: HashingOptions::default(),
            hash_policy: None,
        }
    }
}

impl MakeTable for RingHash {
    const NAME: &str = "envoy.load_balancing_policies.ring_hash";

    fn own_hash_policy(&self) -> Option<&OwnHashPolicy> {
        self.hash_policy.as_deref()
    }

    fn options(&self) -> HashingOptions {
        self.hashing
    }

    fn stats(&self, cluster: &Group) -> Arc<Group> {
        cluster.subgroup("ring_hash_lb", S::SCHEMA)
    }

    fn make(&self, shares: &Shares, stats: &Group) -> Box<dyn HashTable> {
        let (ring, counts) = self.ring(shares);
        stats.gauge_set(S::SIZE, counts.size);
        stats.gauge_set(S::MIN_HASHES_PER_HOST, counts.least);
        stats.gauge_set(S::MAX_HASHES_PER_HOST, counts.most);
        Box::new(ring)
    }
}

/// The ring, in ascending order.
struct Ring {
    places: Box<[u64]>,
    /// Index of the host at each place.
    hosts: Box<[u32]>,
}

struct Counts {
    size: u64,
    least: u64,
    most: u64,
}

impl RingHash {
    /// Envoy's arithmetic to the bit: how many places a host gets, when they cannot be shared out evenly, depends on
    /// the rounding of these sums.
    fn ring(&self, shares: &Shares) -> (Ring, Counts) {
        let least_share = shares.shares.iter().copied().fold(1.0, f64::min);
        let scale =
            ((least_share * self.min_size as f64).ceil() / least_share).min(self.max_size as f64);
        let size = scale.ceil() as u64;
        let mut counts = Counts {
            size,
            least: size,
            most: 0,
        };
        let mut first_places = Vec::with_capacity(shares.hosts.len());
        let mut places: Vec<Place> = Vec::with_capacity(size as usize);
        let (mut current, mut target) = (0.0, 0.0);
        let mut key: Vec<u8> = Vec::new();
        for (index, (host, share)) in shares.hosts.iter().zip(&shares.shares).enumerate() {
            key.clear();
            key.extend_from_slice(key_of(host, self.hashing.use_hostname).as_bytes());
            key.extend_from_slice(b"_0");
            let digits = key.len() - 1;
            target += scale * share;
            first_places.push(self.hash(&key));
            let mut number = 0;
            while current < target {
                places.push((self.hash(&key), index as u32));
                number += 1;
                count_up(&mut key, digits);
                current += 1.0;
            }
            counts.least = counts.least.min(number);
            counts.most = counts.most.max(number);
        }
        first_places.sort_unstable();
        match first_places.windows(2).any(|pair| pair[0] == pair[1]) {
            true => tied::sort(&mut places),
            false => places.sort_unstable(),
        }
        let ring = Ring {
            places: places.iter().map(|(place, _)| *place).collect(),
            hosts: places.iter().map(|(_, host)| *host).collect(),
        };
        (ring, counts)
    }

    fn hash(&self, key: &[u8]) -> u64 {
        match self.function {
            HashFunction::XxHash => XxHash64::oneshot(0, key),
            HashFunction::Murmur2 => murmur_hash_2(key),
        }
    }
}

/// The next decimal number; its digits begin at `start`.
fn count_up(text: &mut Vec<u8>, start: usize) {
    for digit in text[start..].iter_mut().rev() {
        if *digit != b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    text.insert(start, b'1');
}

impl HashTable for Ring {
    fn find(&self, hash: u64, attempt: u32) -> usize {
        let size = self.places.len();
        let place = self.places.partition_point(|place| *place < hash) % size;
        self.hosts[(place + attempt as usize) % size] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_in_place() {
        let mut text = b"a_0".to_vec();
        for number in 0..12_345 {
            assert_eq!(text, format!("a_{number}").into_bytes());
            count_up(&mut text, 2);
        }
    }
}
