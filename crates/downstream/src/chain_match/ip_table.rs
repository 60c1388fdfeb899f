//! Values found by the longest range that holds an address.

use std::net::IpAddr;

use hashbrown::HashMap;
use nuncio_net::IpRange;

/// One hash table per prefix length in use, longest first: a look-up costs one probe per length, however
/// many ranges there are.
#[derive(Debug)]
pub(super) struct IpTable<V> {
    v4: Vec<(u8, HashMap<IpRange, V>)>,
    v6: Vec<(u8, HashMap<IpRange, V>)>,
}

impl<V> Default for IpTable<V> {
    fn default() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
        }
    }
}

impl<V: Default> IpTable<V> {
    /// The value of exactly this range, made if absent.
    pub(super) fn at(&mut self, range: IpRange) -> &mut V {
        let lengths = if range.base().is_ipv4() {
            &mut self.v4
        } else {
            &mut self.v6
        };
        let place = match lengths.binary_search_by(|(length, _)| range.length().cmp(length)) {
            Ok(place) => place,
            Err(place) => {
                lengths.insert(place, (range.length(), HashMap::new()));
                place
            }
        };
        lengths[place].1.entry(range).or_default()
    }
}

impl<V> IpTable<V> {
    /// The value of the longest range that holds `ip`.
    pub(super) fn find(&self, ip: IpAddr) -> Option<&V> {
        let lengths = if ip.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths
            .iter()
            .find_map(|(length, ranges)| ranges.get(&IpRange::new(ip, (*length).into())))
    }
}
