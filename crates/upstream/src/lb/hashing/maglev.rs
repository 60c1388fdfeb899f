//! `MAGLEV`: a table of prime size in which every host has about its share of the cells ("Maglev: A Fast and Reliable
//! Software Network Load Balancer", 3.4; permutations and weights as in Envoy's `MaglevLoadBalancer`).

use std::borrow::Cow;
use std::sync::Arc;

use nuncio_stats::Group;
use twox_hash::XxHash64;

use super::{HashTable, HashingOptions, MakeTable, OwnHashPolicy, Shares, key_of};
use crate::stats::MaglevStats as S;

/// The policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Maglev {
    /// `table_size`: a prime, at most 5,000,011; 65,537 unless told.
    pub table_size: u64,
    /// What it has in common with ring hash.
    pub hashing: HashingOptions,
    /// Its own hash policy.
    pub hash_policy: Option<Arc<OwnHashPolicy>>,
}

impl Default for Maglev {
    fn default() -> Self {
        Self {
            table_size: 65_537,
            hashing: HashingOptions::default(),
            hash_policy: None,
        }
    }
}

impl MakeTable for Maglev {
    const NAME: &str = "envoy.load_balancing_policies.maglev";

    fn own_hash_policy(&self) -> Option<&OwnHashPolicy> {
        self.hash_policy.as_deref()
    }

    fn options(&self) -> HashingOptions {
        self.hashing
    }

    fn stats(&self, cluster: &Group) -> Arc<Group> {
        cluster.subgroup("maglev_lb", S::SCHEMA)
    }

    fn make(&self, shares: &Shares, stats: &Group) -> Box<dyn HashTable> {
        if shares.hosts.len() == 1 {
            // As in Envoy, no table is made.
            stats.gauge_set(S::MIN_ENTRIES_PER_HOST, 1);
            stats.gauge_set(S::MAX_ENTRIES_PER_HOST, 1);
            return Box::new(Table(Box::new([0u8]) as Box<[u8]>));
        }
        let (cells, counts) = self.fill(shares);
        stats.gauge_set(
            S::MIN_ENTRIES_PER_HOST,
            counts.iter().copied().min().unwrap_or(0),
        );
        stats.gauge_set(
            S::MAX_ENTRIES_PER_HOST,
            counts.iter().copied().max().unwrap_or(0),
        );
        match shares.hosts.len() {
            0..=0x100 => Box::new(Table(cells.iter().map(|&cell| cell as u8).collect())),
            0x101..=0x1_0000 => Box::new(Table(cells.iter().map(|&cell| cell as u16).collect())),
            _ => Box::new(Table(cells)),
        }
    }
}

/// Host indices, as small as they can be.
struct Table<T>(Box<[T]>);

impl<T: Copy + Into<u32> + Send + Sync> HashTable for Table<T> {
    fn find(&self, hash: u64, attempt: u32) -> usize {
        let hash = match attempt {
            0 => hash,
            // Many bits change, so that the hosts of later attempts are spread.
            attempt => hash ^ u64::from(attempt).wrapping_neg(),
        };
        let cell = self.0[(hash % self.0.len() as u64) as usize];
        cell.into() as usize
    }
}

/// A host while the table is filled. Small, so that a thousand stay in the cache; a table has at most 5,000,011 cells.
struct Filler {
    host: u32,
    /// The cell to try next.
    cell: u32,
    skip: u32,
    count: u32,
}

/// When a host is passed over, where not all have the same share.
struct Turn {
    share: f64,
    /// A round in which `round * share` is below this is passed over.
    due: f64,
}

/// Which cells have a host: a bit for each, since most looks at a table that fills are at taken cells, and the bits stay in
/// the cache.
struct Taken(Box<[u64]>);

impl Taken {
    fn new(size: u64) -> Self {
        Self(vec![0; size.div_ceil(64) as usize].into())
    }

    /// Takes a cell; false when it was taken before.
    #[inline]
    fn take(&mut self, cell: u32) -> bool {
        let word = &mut self.0[(cell / 64) as usize];
        let bit = 1u64 << (cell % 64);
        let is_free = *word & bit == 0;
        *word |= bit;
        is_free
    }
}

impl Maglev {
    /// Host indices by cell, and how many cells each host got.
    fn fill(&self, shares: &Shares) -> (Box<[u32]>, Vec<u64>) {
        let size = self.table_size;
        let keys: Vec<Cow<'_, str>> = shares
            .hosts
            .iter()
            .map(|host| key_of(host, self.hashing.use_hostname))
            .collect();
        let mut order: Vec<usize> = (0..keys.len()).collect();
        // A stable order, whatever the order of discovery, keeps most cells as they are.
        order.sort_by(|&a, &b| keys[a].cmp(&keys[b]));
        let mut fillers: Vec<Filler> = order
            .iter()
            .map(|&index| Filler {
                host: index as u32,
                cell: (XxHash64::oneshot(0, keys[index].as_bytes()) % size) as u32,
                skip: (XxHash64::oneshot(1, keys[index].as_bytes()) % (size - 1) + 1) as u32,
                count: 0,
            })
            .collect();
        let most = shares.shares.iter().copied().fold(0.0, f64::max);
        let is_even = shares.shares.iter().all(|share| *share == most);
        let mut turns: Vec<Turn> = match is_even {
            true => Vec::new(),
            false => {
                let shares = order.iter().map(|&index| shares.shares[index]);
                shares.map(|share| Turn { share, due: 0.0 }).collect()
            }
        };
        let mut cells = vec![0; size as usize].into_boxed_slice();
        let mut taken = Taken::new(size);
        let mut free = size;
        let mut round = 0.0;
        'filling: loop {
            round += 1.0;
            for (index, filler) in fillers.iter_mut().enumerate() {
                if free == 0 {
                    break 'filling;
                }
                if let Some(turn) = turns.get_mut(index) {
                    if round * turn.share < turn.due {
                        continue;
                    }
                    turn.due += most;
                }
                let cell = filler.take_free(&mut taken, size as u32);
                cells[cell] = filler.host;
                free -= 1;
            }
        }
        let counts = fillers.iter().map(|filler| filler.count.into());
        (cells, counts.collect())
    }
}

impl Filler {
    /// Takes the next cell of this host's permutation that is free; there is one.
    fn take_free(&mut self, taken: &mut Taken, size: u32) -> usize {
        self.count += 1;
        loop {
            let cell = self.cell;
            self.cell += self.skip;
            if self.cell >= size {
                self.cell -= size;
            }
            if taken.take(cell) {
                return cell as usize;
            }
        }
    }
}

/// Whether Envoy takes this table size.
pub fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|d| d * d <= number)
            .all(|d| !number.is_multiple_of(d))
}
