//! `xds.type.matcher.v3.ServerNameMatcher`: exact domains, then `*.suffix` by length, then `*`.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use memchr::memchr;

/// What hangs on domains. Case counts, as in Envoy.
#[derive(Debug)]
pub(super) struct NameTree<T> {
    items: Box<[T]>,
    exact: Names,
    /// Without `*.`.
    suffixes: Names,
    /// `*`
    any: Option<u32>,
}

type Names = HashMap<Box<[u8]>, u32, FixedState>;

impl<T> NameTree<T> {
    /// Each item with its domains.
    ///
    /// # Errors
    /// Envoy's words on the first domain that is not possible: number of the item, of the domain, and why.
    pub(super) fn new(
        entries: Vec<(Vec<String>, T)>,
    ) -> Result<NameTree<T>, (usize, usize, String)> {
        let mut tree = NameTree {
            items: Box::default(),
            exact: Names::default(),
            suffixes: Names::default(),
            any: None,
        };
        let mut items = Vec::with_capacity(entries.len());
        for (number, (domains, item)) in entries.into_iter().enumerate() {
            for (at, domain) in domains.iter().enumerate() {
                tree.add(domain, number as u32)
                    .map_err(|error| (number, at, error))?;
            }
            items.push(item);
        }
        tree.items = items.into();
        Ok(tree)
    }

    fn add(&mut self, domain: &str, item: u32) -> Result<(), String> {
        let before = if domain == "*" {
            self.any.replace(item)
        } else if let Some(suffix) = domain.strip_prefix("*.").filter(|rest| !rest.is_empty()) {
            if suffix.contains('*') {
                return Err(format!(
                    "Invalid wildcard domain format: {domain}. Multiple wildcards are not supported"
                ));
            }
            self.suffixes.insert(suffix.as_bytes().into(), item)
        } else if domain.is_empty() {
            return Err("Empty domain in ServerNameMatcher".into());
        } else if domain.contains('*') {
            return Err(format!(
                "Invalid wildcard domain format: {domain}. Only '*' and '*.domain' patterns are supported"
            ));
        } else {
            self.exact.insert(domain.as_bytes().into(), item)
        };
        match before {
            None => Ok(()),
            Some(_) => Err(format!("Duplicate domain in ServerNameMatcher: {domain}")),
        }
    }

    /// Shows what hangs on the domains that match `name`, the best one first, until `enough`.
    pub(super) fn walk<'t>(&'t self, name: &[u8], enough: &mut dyn FnMut(&'t T) -> bool) {
        if name.is_empty() {
            return;
        }
        let mut show = |number: &u32| enough(&self.items[*number as usize]);
        if self.exact.get(name).is_some_and(&mut show) {
            return;
        }
        let mut rest = name;
        while let Some(dot) = memchr(b'.', rest) {
            rest = &rest[dot + 1..];
            if self.suffixes.get(rest).is_some_and(&mut show) {
                return;
            }
        }
        let _ = self.any.as_ref().is_some_and(&mut show);
    }
}
