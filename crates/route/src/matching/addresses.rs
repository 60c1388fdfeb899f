//! Sets of addresses: `input_matchers.ip` and the tree `xds.type.matcher.v3.IPMatcher`.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use nuncio_net::IpRange;

/// The address that a text is; the zone of an IPv6 address says nothing here.
pub(super) fn address_in(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let address = match text.split_once('%') {
        Some((address, zone)) if zone.parse::<u32>().is_ok() && address.contains(':') => address,
        _ => text,
    };
    address.parse().ok()
}

/// Numbers that hang on ranges.
#[derive(Debug, Default)]
struct Ranges {
    /// Ascending in each range.
    numbers: HashMap<IpRange, Vec<u32>, FixedState>,
    /// Lengths of all ranges of IPv4 and of IPv6, longest first.
    lengths: [Vec<u8>; 2],
}

impl Ranges {
    fn add(&mut self, range: IpRange, number: u32) {
        let lengths = &mut self.lengths[usize::from(range.base().is_ipv6())];
        if let Err(at) = lengths.binary_search_by(|other| range.length().cmp(other)) {
            lengths.insert(at, range.length());
        }
        self.numbers.entry(range).or_default().push(number);
    }

    /// The numbers of all ranges that hold the address, the smallest range first.
    fn of(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        let lengths = &self.lengths[usize::from(address.is_ipv6())];
        lengths.iter().flat_map(move |&length| {
            let numbers = self.numbers.get(&IpRange::new(address, u32::from(length)));
            numbers.into_iter().flatten().copied()
        })
    }
}

/// A set of addresses.
#[derive(Debug, Default)]
pub(crate) struct AddressSet(Ranges);

impl AddressSet {
    pub(crate) fn add(&mut self, range: IpRange) {
        self.0.add(range, 0);
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.of(address).next().is_some()
    }
}

/// What hangs on ranges of addresses.
#[derive(Debug)]
pub(super) struct AddressTree<T> {
    ranges: Ranges,
    items: Box<[Item<T>]>,
}

#[derive(Debug)]
struct Item<T> {
    item: T,
    exclusive: bool,
}

impl<T> AddressTree<T> {
    /// Each item with its ranges, and whether it is not to be tried after a smaller range came to nothing.
    pub(super) fn new(entries: Vec<(Vec<IpRange>, bool, T)>) -> AddressTree<T> {
        let mut ranges = Ranges::default();
        let mut items = Vec::with_capacity(entries.len());
        for (number, (of_item, exclusive, item)) in (0_u32..).zip(entries) {
            for range in of_item {
                ranges.add(range, number);
            }
            items.push(Item { item, exclusive });
        }
        AddressTree {
            ranges,
            items: items.into(),
        }
    }

    /// Shows what hangs on the ranges that hold the address that `text` is, the smallest range first, until `enough`.
    pub(super) fn walk<'t>(&'t self, text: &[u8], enough: &mut dyn FnMut(&'t T) -> bool) {
        let Some(address) = address_in(text) else {
            return;
        };
        let mut first = true;
        for number in self.ranges.of(address) {
            let Item { item, exclusive } = &self.items[number as usize];
            if !first && *exclusive {
                continue;
            }
            if enough(item) {
                return;
            }
            first = false;
        }
    }
}
