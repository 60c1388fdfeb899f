//! [`HostList`]: hosts of which one is chosen, and whose turn it is.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock};

use crate::host::Host;
use crate::lb::edf::EdfSchedule;

/// An immutable list of hosts, shared between the lists that happen to be equal (all and healthy, mostly), and by all
/// threads, which take turns on it together: few connections, spread over several workers, still walk it evenly.
#[derive(Clone)]
pub struct HostList(Arc<List>);

struct List {
    hosts: Box<[Arc<Host>]>,
    /// The next turn; means something once `order` is known.
    turn: AtomicU64,
    /// Found out when the first turn is taken.
    order: OnceLock<Order>,
}

/// In which order hosts take turns.
enum Order {
    /// As they stand: equal weights.
    Plain,
    /// By weight: one whole period of Envoy's schedule, as indices.
    Weighted(Box<[u32]>),
    /// By weights whose period is too long to be kept.
    Uneven,
}

/// Whose turn it is.
pub(crate) enum Turn {
    /// The host of this index.
    Host(usize),
    /// Nobody keeps count: the balancer must make an [`EdfSchedule`] of its own.
    Uneven,
    /// There is no host.
    Nobody,
}

/// The longest period that is kept, per host; and at least so much per list.
const MAX_PERIOD_PER_HOST: u64 = 16;
const MIN_PERIOD: u64 = 4096;

impl HostList {
    /// A list of these hosts.
    pub fn new(hosts: Vec<Arc<Host>>) -> Self {
        if hosts.is_empty() {
            return Self::empty();
        }
        Self::make(hosts.into())
    }

    /// The one empty list, so that emptiness costs no memory per cluster.
    pub fn empty() -> Self {
        static NONE: LazyLock<HostList> = LazyLock::new(|| HostList::make(Box::default()));
        NONE.clone()
    }

    fn make(hosts: Box<[Arc<Host>]>) -> Self {
        Self(Arc::new(List {
            hosts,
            turn: AtomicU64::new(0),
            order: OnceLock::new(),
        }))
    }

    /// Whether both are the same object.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether all hosts weigh the same, as they did when this was first asked: for policies that take no turns.
    #[inline]
    pub(crate) fn is_even(&self) -> bool {
        let order = self.0.order.get_or_init(|| match is_plain(&self.0.hosts) {
            true => Order::Plain,
            false => Order::Uneven,
        });
        matches!(order, Order::Plain)
    }

    /// Takes the next turn. `seed` decides who begins.
    #[inline]
    pub(crate) fn next(&self, seed: impl FnOnce() -> u64) -> Turn {
        let List { hosts, turn, order } = &*self.0;
        let order = order.get().unwrap_or_else(|| self.begin(seed()));
        match order {
            Order::Uneven => Turn::Uneven,
            _ if hosts.is_empty() => Turn::Nobody,
            Order::Plain => Turn::Host((turn.fetch_add(1, Relaxed) % hosts.len() as u64) as usize),
            Order::Weighted(period) => {
                let at = turn.fetch_add(1, Relaxed) % period.len() as u64;
                Turn::Host(period[at as usize] as usize)
            }
        }
    }

    /// Whose turn comes after `ahead` others: `None` when nobody can tell, or it would be somebody's second.
    pub(crate) fn peek(&self, ahead: usize) -> Option<&Arc<Host>> {
        let List { hosts, turn, order } = &*self.0;
        let turn = turn.load(Relaxed) + ahead as u64;
        if ahead >= hosts.len() {
            return None;
        }
        match order.get()? {
            Order::Uneven => None,
            Order::Plain => hosts.get((turn % hosts.len() as u64) as usize),
            Order::Weighted(period) => {
                let index = period.get((turn % period.len() as u64) as usize)?;
                hosts.get(*index as usize)
            }
        }
    }

    /// Whether turns cannot be taken here ([`Turn::Uneven`]), as far as that is known.
    pub(crate) fn is_uneven(&self) -> bool {
        matches!(self.0.order.get(), Some(Order::Uneven))
    }

    #[cold]
    fn begin(&self, seed: u64) -> &Order {
        // A list that goes on where an earlier one stopped has a turn already.
        if !self.is_empty() {
            let _ = self
                .0
                .turn
                .compare_exchange(0, (seed >> 1).max(1), Relaxed, Relaxed);
        }
        self.0.order.get_or_init(|| order(&self.0.hosts))
    }

    /// Lets this new list go on where `before` stands.
    pub(crate) fn continue_from(&self, before: &Self) {
        if self.is(before) || self.is_empty() {
            return;
        }
        let turn = before.0.turn.load(Relaxed);
        if turn != 0 {
            self.0.turn.store(turn, Relaxed);
        }
        // Who takes turns on the old list will on this one: no request shall have to find out their order.
        if let Some(Order::Plain | Order::Weighted(_)) = before.0.order.get() {
            self.0.order.get_or_init(|| order(&self.0.hosts));
        }
    }
}

fn is_plain(hosts: &[Arc<Host>]) -> bool {
    let mut weights = hosts.iter().map(|host| host.weight());
    let first = weights.next();
    weights.all(|weight| Some(weight) == first)
}

fn order(hosts: &[Arc<Host>]) -> Order {
    if is_plain(hosts) {
        return Order::Plain;
    }
    let weights = || hosts.iter().map(|host| host.weight());
    let divisor = weights().fold(0, greatest_common_divisor).max(1);
    let period: u64 = weights().map(|weight| u64::from(weight / divisor)).sum();
    if period > (MAX_PERIOD_PER_HOST * hosts.len() as u64).max(MIN_PERIOD) {
        return Order::Uneven;
    }
    let weight = |index: usize| f64::from(hosts[index].weight() / divisor);
    let mut schedule = EdfSchedule::with_picks(hosts.len(), weight, 0);
    let picks = (0..period).filter_map(|_| schedule.pick(weight));
    Order::Weighted(picks.map(|index| index as u32).collect())
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        _ => greatest_common_divisor(b, a % b),
    }
}

impl Deref for HostList {
    type Target = [Arc<Host>];

    #[inline]
    fn deref(&self) -> &[Arc<Host>] {
        &self.0.hosts
    }
}

impl fmt::Debug for HostList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl From<Vec<Arc<Host>>> for HostList {
    fn from(hosts: Vec<Arc<Host>>) -> Self {
        Self::new(hosts)
    }
}

impl FromIterator<Arc<Host>> for HostList {
    fn from_iter<I: IntoIterator<Item = Arc<Host>>>(hosts: I) -> Self {
        Self::new(hosts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::testing::host;

    fn list(weights: &[u32]) -> HostList {
        let hosts = weights.iter().enumerate();
        hosts
            .map(|(port, weight)| host(port as u16, *weight, HealthFlags::NONE))
            .collect()
    }

    fn turns(list: &HostList, count: usize) -> Vec<usize> {
        let turn = |_| match list.next(|| 0) {
            Turn::Host(index) => index,
            Turn::Uneven => panic!("uneven"),
            Turn::Nobody => panic!("nobody"),
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn weights_of_one_measure_are_plain() {
        assert!(list(&[6, 6, 6]).is_even());
        assert_eq!(turns(&list(&[6, 6, 6]), 4), [1, 2, 0, 1]);
    }

    #[test]
    fn turns_can_be_told_ahead() {
        for list in [list(&[1, 1, 1]), list(&[1, 2, 3])] {
            assert!(list.peek(0).is_none(), "nobody has begun");
            turns(&list, 1);
            let told = [0, 1, 2].map(|ahead| crate::testing::port(list.peek(ahead).unwrap()));
            let taken = turns(&list, 3);
            assert_eq!(told.map(usize::from)[..], taken);
            assert!(list.peek(3).is_none());
        }
    }

    #[test]
    fn a_period_holds_every_share_exactly() {
        let list = list(&[10, 20, 30]);
        let picked = turns(&list, 12);
        for (host, share) in [(0, 2), (1, 4), (2, 6)] {
            assert_eq!(picked.iter().filter(|&&at| at == host).count(), share);
        }
    }

    #[test]
    fn long_periods_are_left_to_the_balancer() {
        assert!(matches!(list(&[1, 1_000_003]).next(|| 0), Turn::Uneven));
        assert!(!list(&[1, 2]).is_even());
        assert!(matches!(HostList::empty().next(|| 0), Turn::Nobody));
    }

    #[test]
    fn threads_take_turns_together() {
        let list = list(&[1; 4]);
        let counts: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| turns(&list, 100))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        for host in 0..4 {
            let count = counts.iter().flatten().filter(|&&at| at == host).count();
            assert_eq!(count, 100);
        }
    }
}
