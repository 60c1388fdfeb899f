//! How priorities share the load (Envoy's `LoadBalancerBase`): the first priorities get it as long as they are healthy,
//! later ones get what those cannot take.

use crate::host_list::HostList;
use crate::host_set::HostSet;

/// Percent of the load per priority, for healthy and for degraded hosts; all of them add up to 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityLoads(Loads);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Loads {
    /// Everything to the healthy hosts of priority 0: by far the most common case, without memory.
    First,
    Split(Box<[Share]>),
    /// Everything to one priority; who panics is as among the hosts that are chosen from.
    Only {
        priority: u32,
        degraded: bool,
    },
}

/// What one priority gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Percent of the load for its healthy hosts.
    pub healthy: u8,
    /// Percent of the load for its degraded hosts.
    pub degraded: u8,
    /// Too few healthy hosts: the load goes to all hosts.
    pub panic: bool,
}

/// Which list of a priority a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// All hosts: panic.
    All,
    /// The healthy ones.
    Healthy,
    /// The degraded ones.
    Degraded,
}

impl Source {
    /// The list of `set` that this names.
    pub fn of(self, set: &HostSet) -> &HostList {
        match self {
            Self::All => &set.all,
            Self::Healthy => &set.healthy,
            Self::Degraded => &set.degraded,
        }
    }
}

impl PriorityLoads {
    /// Shares the load between `sets`, of which there must be one; `panic_threshold` in percent.
    pub fn compute(sets: &[HostSet], panic_threshold: u32) -> Self {
        let availability: Vec<Availability> = sets
            .iter()
            .map(|set| Availability::of(set, panic_threshold))
            .collect();
        // Total availability is then 100 %, so nobody panics and nothing is left for others.
        if availability[0].healthy == 100 {
            return Self(Loads::First);
        }
        Self(Loads::Split(split(&availability, panic_threshold).into()))
    }

    /// Everything to the healthy, or the degraded, hosts of one priority, which another cluster has drawn.
    pub(crate) fn only(priority: usize, degraded: bool) -> Self {
        Self(Loads::Only {
            priority: priority as u32,
            degraded,
        })
    }

    /// The load without the priorities that are excluded; who panics is as in `self`. `None` when nobody else can take it.
    pub fn without(&self, sets: &[HostSet], excluded: &[bool]) -> Option<Self> {
        let of = |(index, set)| match excluded.get(index) {
            Some(true) => Availability::NONE,
            // Who panics is known already.
            _ => Availability::of(set, 0),
        };
        let availability: Vec<_> = sets.iter().enumerate().map(of).collect();
        let total: u32 = availability.iter().map(|a| a.healthy + a.degraded).sum();
        if total == 0 {
            return None;
        }
        let mut shares = vec![Share::default(); sets.len()];
        distribute(&availability, total.min(100), &mut shares);
        for (priority, share) in shares.iter_mut().enumerate() {
            share.panic = self.share(priority).panic;
        }
        Some(Self(Loads::Split(shares.into())))
    }

    /// What priority `priority` gets.
    pub fn share(&self, priority: usize) -> Share {
        match &self.0 {
            Loads::First if priority == 0 => Share {
                healthy: 100,
                ..Share::default()
            },
            Loads::First => Share::default(),
            Loads::Split(shares) => shares.get(priority).copied().unwrap_or_default(),
            Loads::Only {
                priority: only,
                degraded,
            } => {
                let load = if priority == *only as usize { 100 } else { 0 };
                let (healthy, degraded) = if *degraded { (0, load) } else { (load, 0) };
                Share {
                    healthy,
                    degraded,
                    panic: false,
                }
            }
        }
    }

    /// Draws a priority, and whether its degraded hosts take the request (Envoy's `choosePriority`); `hash`, a random number
    /// or the request's hash, is asked for only when there is something to draw.
    pub fn draw(&self, hash: impl FnOnce() -> u64) -> (usize, bool) {
        let shares = match &self.0 {
            Loads::First => return (0, false),
            Loads::Only { priority, degraded } => return (*priority as usize, *degraded),
            Loads::Split(shares) => shares,
        };
        let mut point = hash() % 100 + 1;
        let healthy = shares.iter().map(|share| (share.healthy, false));
        let degraded = shares.iter().map(|share| (share.degraded, true));
        for (priority, (load, degraded)) in healthy.enumerate().chain(degraded.enumerate()) {
            if point <= u64::from(load) {
                return (priority, degraded);
            }
            point -= u64::from(load);
        }
        // Shares add up to 100 unless there is no host at all.
        (0, false)
    }

    /// Draws a priority and the list to use in it (Envoy's `hostSourceToUse`) among the hosts to which these shares belong.
    pub fn choose(&self, hash: impl FnOnce() -> u64) -> (usize, Source) {
        self.choose_among(self, hash)
    }

    /// The same among hosts whose own shares are `own`.
    pub(super) fn choose_among(&self, own: &Self, hash: impl FnOnce() -> u64) -> (usize, Source) {
        if matches!(self.0, Loads::First) {
            return (0, Source::Healthy);
        }
        let (priority, degraded) = self.draw(hash);
        let decides = match &self.0 {
            Loads::Only { .. } => own,
            _ => self,
        };
        let source = match (decides.share(priority).panic, degraded) {
            (true, _) => Source::All,
            (false, true) => Source::Degraded,
            (false, false) => Source::Healthy,
        };
        (priority, source)
    }
}

/// Health of one priority in percent, as far as load is concerned.
struct Availability {
    healthy: u32,
    degraded: u32,
    below_threshold: bool,
    hosts: usize,
}

impl Availability {
    const NONE: Self = Self {
        healthy: 0,
        degraded: 0,
        below_threshold: false,
        hosts: 0,
    };

    fn of(set: &HostSet, panic_threshold: u32) -> Self {
        let options = set.options;
        let size = |list: &HostList| -> u64 {
            if options.weighted_priority_health {
                list.iter().map(|host| u64::from(host.weight())).sum()
            } else {
                list.len() as u64
            }
        };
        let excluded: u64 = if options.weighted_priority_health {
            let excluded = set
                .all
                .iter()
                .filter(|host| host.health_flags().is_excluded());
            excluded.map(|host| u64::from(host.weight())).sum()
        } else {
            u64::from(set.excluded)
        };
        let total = size(&set.all).saturating_sub(excluded);
        let percent = |part: u64| {
            let scaled = u64::from(options.overprovisioning_factor) * part;
            scaled.checked_div(total).unwrap_or(0).min(100) as u32
        };
        let countable = set.all.len() as u64 - u64::from(set.excluded);
        let available = (set.healthy.len() + set.degraded.len()) as u64;
        Self {
            healthy: percent(size(&set.healthy)),
            degraded: percent(size(&set.degraded)),
            // available / countable < threshold / 100; without hosts availability is 0.
            below_threshold: 100 * available
                < u64::from(panic_threshold.min(100)) * countable.max(1),
            hosts: set.all.len(),
        }
    }
}

/// Envoy's `recalculatePerPriorityState`, then `recalculatePerPriorityPanic`.
fn split(availability: &[Availability], panic_threshold: u32) -> Vec<Share> {
    let mut shares = vec![Share::default(); availability.len()];
    let total: u32 = availability.iter().map(|a| a.healthy + a.degraded).sum();
    let total = total.min(100);
    if total == 0 && panic_threshold == 0 {
        shares[0].healthy = 100;
        return shares;
    }
    if total > 0 {
        distribute(availability, total, &mut shares);
    }
    // A priority panics only while all together cannot take the whole load.
    for (share, a) in shares.iter_mut().zip(availability) {
        share.panic = total < 100 && a.below_threshold;
    }
    if shares.iter().all(|share| share.panic) {
        distribute_by_size(availability, &mut shares);
    }
    shares
}

/// As much as they can take to the healthy hosts of the first priorities, then to degraded ones; what rounding
/// leaves over goes to the first that has any.
fn distribute(availability: &[Availability], total: u32, shares: &mut [Share]) {
    let mut left = 100;
    for (share, a) in shares.iter_mut().zip(availability) {
        let load = (a.healthy * 100 / total).min(left);
        share.healthy = load as u8;
        left -= load;
    }
    for (share, a) in shares.iter_mut().zip(availability) {
        let load = (a.degraded * 100 / total).min(left);
        share.degraded = load as u8;
        left -= load;
    }
    if let Some(priority) = availability.iter().position(|a| a.healthy > 0) {
        shares[priority].healthy += left as u8;
    } else if let Some(priority) = availability.iter().position(|a| a.degraded > 0) {
        shares[priority].degraded += left as u8;
    }
}

/// Every priority panics: load by number of hosts, whatever their health (`recalculateLoadInTotalPanic`).
fn distribute_by_size(availability: &[Availability], shares: &mut [Share]) {
    let total: usize = availability.iter().map(|a| a.hosts).sum();
    let mut left = 100;
    for (share, a) in shares.iter_mut().zip(availability) {
        let load = (100 * a.hosts).checked_div(total).unwrap_or(0);
        share.healthy = load as u8;
        share.degraded = 0;
        left -= load;
    }
    let first = availability.iter().position(|a| a.hosts > 0).unwrap_or(0);
    shares[first].healthy += left as u8;
}

#[cfg(test)]
mod tests;
