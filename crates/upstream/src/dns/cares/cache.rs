//! Answers that may be used again (c-ares' query cache, hickory's response cache).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::message::RecordType;

/// Addresses of names, until their TTLs end.
#[derive(Debug)]
pub(super) struct AnswerCache {
    max_size: usize,
    max_ttl: Duration,
    known: Mutex<HashMap<(String, RecordType), Known>>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl AnswerCache {
    /// At most `max_size` answers, none for longer than `max_ttl`; nothing is kept if one of them is zero.
    pub(super) fn new(max_size: usize, max_ttl: Duration) -> Self {
        Self {
            max_size,
            max_ttl,
            known: Mutex::default(),
        }
    }

    /// The addresses of `name`, and how long they are still good for.
    pub(super) fn find(&self, name: &str, kind: RecordType) -> Option<(Vec<IpAddr>, Duration)> {
        if self.is_off() {
            return None;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&(name.to_ascii_lowercase(), kind))?;
        let left = found.until.checked_duration_since(Instant::now())?;
        // TTLs are whole seconds.
        let seconds = Duration::from_secs(left.as_secs_f64().ceil() as u64);
        (!left.is_zero()).then(|| (found.addresses.clone(), seconds))
    }

    pub(super) fn put(&self, name: &str, kind: RecordType, addresses: &[IpAddr], ttl: Duration) {
        let ttl = ttl.min(self.max_ttl);
        if self.is_off() || ttl.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max_size {
            known.retain(|_, entry| entry.until > now);
        }
        if known.len() >= self.max_size {
            // What ends first is missed least.
            let first = known.iter().min_by_key(|(_, entry)| entry.until);
            if let Some(key) = first.map(|(key, _)| key.clone()) {
                known.remove(&key);
            }
        }
        let answer = Known {
            addresses: addresses.to_vec(),
            until: now + ttl,
        };
        known.insert((name.to_ascii_lowercase(), kind), answer);
    }

    fn is_off(&self) -> bool {
        self.max_size == 0 || self.max_ttl.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn answers_are_used_until_their_ttls_end() {
        run(async {
            tokio::time::pause();
            let cache = AnswerCache::new(2, SECOND * 60);
            let ip: IpAddr = [10, 0, 0, 1].into();
            let find = |name| cache.find(name, RecordType::A);
            cache.put("A.test", RecordType::A, &[ip], SECOND * 100);
            cache.put("b.test", RecordType::A, &[ip], SECOND * 5);
            cache.put("never.test", RecordType::A, &[ip], Duration::ZERO);
            assert_eq!(find("never.test"), None);
            assert_eq!(cache.find("a.test", RecordType::Aaaa), None);
            assert_eq!(find("a.test"), Some((vec![ip], SECOND * 60)));
            tokio::time::advance(SECOND * 4).await;
            assert_eq!(find("a.test"), Some((vec![ip], SECOND * 56)));
            assert_eq!(find("b.test"), Some((vec![ip], SECOND)));
            cache.put("c.test", RecordType::A, &[ip], SECOND * 10);
            assert_eq!(find("b.test"), None, "had the least time left");
            tokio::time::advance(SECOND * 10).await;
            assert_eq!(find("c.test"), None);
            assert!(find("a.test").is_some());
            let off = AnswerCache::new(2, Duration::ZERO);
            off.put("a", RecordType::A, &[ip], SECOND);
            assert_eq!(off.find("a", RecordType::A), None);
        });
    }
}
