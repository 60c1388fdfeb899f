//! `hash_balance_factor`: a host that is busier than its bound passes requests on to others, in an order that depends on
//! the hash only ("Consistent Hashing with Bounded Loads", as Envoy's `BoundedLoadHashingLoadBalancer`).

use std::sync::atomic::Ordering::Relaxed;

use super::Shares;
use crate::host::Host;
use crate::lb::LbEnv;
use crate::stats::ClusterStats as S;

/// The host to use instead of the one of index `found`, if that is too busy. O(number of hosts) at worst.
pub(super) fn choose(found: usize, hash: u64, shares: &Shares, factor: u32, env: &LbEnv) -> usize {
    let all_active = env.group.gauge(S::UPSTREAM_RQ_ACTIVE);
    let total_slots = ((all_active + 1) * u64::from(factor)).div_ceil(100);
    let load = |index: usize| {
        let slots = (total_slots as f64 * shares.shares[index]).ceil().max(1.0);
        active(&shares.hosts[index]) / slots
    };
    let (mut best, mut least) = (found, load(found));
    if least <= 1.0 {
        return found;
    }
    let count = shares.hosts.len();
    let mut order: Vec<u32> = (0..count as u32).collect();
    let mut random = MersenneTwister::new(hash as u32);
    for at in 0..count {
        let swap = at + random.below((count - at) as u32) as usize;
        order.swap(at, swap);
        let other = order[at] as usize;
        if other == found {
            continue;
        }
        let load = load(other);
        if load <= 1.0 {
            return other;
        }
        if load < least {
            (best, least) = (other, load);
        }
    }
    best
}

fn active(host: &Host) -> f64 {
    f64::from(host.stats().rq_active.load(Relaxed))
}

/// MT19937, which decides the order in Envoy (`std::mt19937`).
struct MersenneTwister {
    state: Box<[u32; 624]>,
    at: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = Box::new([seed; 624]);
        for i in 1..624 {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32
                .wrapping_mul(last ^ (last >> 30))
                .wrapping_add(i as u32);
        }
        Self { state, at: 624 }
    }

    fn next(&mut self) -> u32 {
        if self.at == 624 {
            for i in 0..624 {
                let joined =
                    (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7FFF_FFFF);
                let odd = if joined & 1 == 1 { 0x9908_B0DF } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (joined >> 1) ^ odd;
            }
            self.at = 0;
        }
        let mut y = self.state[self.at];
        self.at += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    /// Uniform below `bound`, by Envoy's own arithmetic.
    fn below(&mut self, bound: u32) -> u32 {
        let width = (1u64 << 32) / u64::from(bound);
        loop {
            let number = u64::from(self.next()) / width;
            if number < u64::from(bound) {
                return number as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The standard's own check (C++17 [rand.predef]): the 10,000th number of the default seed.
    #[test]
    fn the_generator_is_mt19937() {
        let mut random = MersenneTwister::new(5489);
        let last = (0..10_000).map(|_| random.next()).last();
        assert_eq!(last, Some(4_123_659_995));
    }
}
