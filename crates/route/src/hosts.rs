//! Which virtual host serves a host name: exact names by hash, then the longest `*suffix`, then the longest
//! `prefix*`, then `*`.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// How a domain is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Exact,
    Suffix,
    Prefix,
}

struct Entry {
    kind: Kind,
    /// Where the lower-case text, without its star, lies in `text`.
    start: u32,
    len: u32,
    virtual_host: u32,
}

/// The domains of a route configuration.
pub(crate) struct HostIndex {
    entries: HashTable<Entry>,
    text: Vec<u8>,
    /// Lengths of all suffixes, longest first.
    suffix_lengths: Vec<u32>,
    /// Lengths of all prefixes, longest first.
    prefix_lengths: Vec<u32>,
    /// The virtual host with domain `*`.
    catch_all: Option<u32>,
    hasher: FixedState,
}

/// Why a domain was not added.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Duplicate {
    /// `*` a second time.
    CatchAll,
    /// Any other domain a second time.
    Domain,
}

impl HostIndex {
    pub(crate) fn new() -> HostIndex {
        HostIndex {
            entries: HashTable::new(),
            text: Vec::new(),
            suffix_lengths: Vec::new(),
            prefix_lengths: Vec::new(),
            catch_all: None,
            // Names come from the configuration only: no flooding to fear.
            hasher: FixedState::default(),
        }
    }

    /// Adds a domain, in any case, of a virtual host.
    pub(crate) fn insert(&mut self, domain: &str, virtual_host: u32) -> Result<(), Duplicate> {
        let lower = domain.to_ascii_lowercase();
        let (kind, text) = if lower == "*" {
            return match self.catch_all.replace(virtual_host) {
                None => Ok(()),
                Some(_) => Err(Duplicate::CatchAll),
            };
        } else if let Some(suffix) = lower.strip_prefix('*') {
            (Kind::Suffix, suffix)
        } else if let Some(prefix) = lower.strip_suffix('*') {
            (Kind::Prefix, prefix)
        } else {
            (Kind::Exact, lower.as_str())
        };
        let text = text.as_bytes();
        if self.look_up(kind, text).is_some() {
            return Err(Duplicate::Domain);
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(text);
        let len = text.len() as u32;
        let (all, hasher) = (&self.text, &self.hasher);
        self.entries.insert_unique(
            hash(hasher, kind, text),
            Entry {
                kind,
                start,
                len,
                virtual_host,
            },
            |entry| {
                hash(
                    hasher,
                    entry.kind,
                    &all[entry.start as usize..][..entry.len as usize],
                )
            },
        );
        match kind {
            Kind::Exact => {}
            Kind::Suffix => add_length(&mut self.suffix_lengths, len),
            Kind::Prefix => add_length(&mut self.prefix_lengths, len),
        }
        Ok(())
    }

    /// Gives back memory that was reserved for growth.
    pub(crate) fn shrink(&mut self) {
        let (text, hasher) = (&self.text, &self.hasher);
        self.entries.shrink_to_fit(|entry| {
            hash(
                hasher,
                entry.kind,
                &text[entry.start as usize..][..entry.len as usize],
            )
        });
        self.text.shrink_to_fit();
    }

    /// Whether every host is served by the same virtual host (or none), so that the name need not be looked at.
    pub(crate) fn only_catch_all(&self) -> bool {
        self.entries.is_empty()
    }

    /// The virtual host with domain `*`.
    pub(crate) fn catch_all(&self) -> Option<u32> {
        self.catch_all
    }

    /// The virtual host of a host name in lower case.
    pub(crate) fn find(&self, host: &[u8]) -> Option<u32> {
        if let Some(found) = self.look_up(Kind::Exact, host) {
            return Some(found);
        }
        // A star stands for at least one character.
        let shorter = |length: &&u32| (**length as usize) < host.len();
        for &length in self.suffix_lengths.iter().filter(shorter) {
            if let Some(found) = self.look_up(Kind::Suffix, &host[host.len() - length as usize..]) {
                return Some(found);
            }
        }
        for &length in self.prefix_lengths.iter().filter(shorter) {
            if let Some(found) = self.look_up(Kind::Prefix, &host[..length as usize]) {
                return Some(found);
            }
        }
        self.catch_all
    }

    fn look_up(&self, kind: Kind, text: &[u8]) -> Option<u32> {
        let entry = self.entries.find(hash(&self.hasher, kind, text), |entry| {
            entry.kind == kind && &self.text[entry.start as usize..][..entry.len as usize] == text
        })?;
        Some(entry.virtual_host)
    }
}

fn hash(hasher: &FixedState, kind: Kind, text: &[u8]) -> u64 {
    hasher.hash_one((kind as u8, text))
}

fn add_length(lengths: &mut Vec<u32>, length: u32) {
    if let Err(at) = lengths.binary_search_by(|other| length.cmp(other)) {
        lengths.insert(at, length);
    }
}

/// The host without its port: everything before the last colon outside of brackets.
pub(crate) fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(colon) if memchr::memchr(b']', &host[colon..]).is_none() => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_preference() {
        let mut index = HostIndex::new();
        let domains = [
            "a.com",
            "*.suf.com",
            "*-x.suf.com",
            "pre.*",
            "pr*",
            "[::1]",
            "",
            "*",
        ];
        for (number, domain) in domains.iter().enumerate() {
            index.insert(domain, number as u32).unwrap();
        }
        index.shrink();
        let find = |host: &str| index.find(host.as_bytes()).unwrap();
        assert_eq!(find("a.com"), 0);
        assert_eq!(find("x.suf.com"), 1);
        assert_eq!(find("y-x.suf.com"), 2);
        assert_eq!(find(".suf.com"), 7, "a star stands for something");
        assert_eq!(find("pre.x"), 3);
        assert_eq!(find("pre."), 4);
        assert_eq!(find("pr"), 7);
        assert_eq!(find("[::1]"), 5);
        assert_eq!(find(""), 6);
        assert_eq!(find("other"), 7);
    }

    #[test]
    fn duplicates() {
        let mut index = HostIndex::new();
        for domain in ["x.y", "*.y", "x.*", "*"] {
            index.insert(domain, 0).unwrap();
        }
        assert_eq!(index.insert("X.Y", 1), Err(Duplicate::Domain));
        assert_eq!(index.insert("*.Y", 1), Err(Duplicate::Domain));
        assert_eq!(index.insert("X.*", 1), Err(Duplicate::Domain));
        assert_eq!(index.insert("*", 1), Err(Duplicate::CatchAll));
    }

    #[test]
    fn ports() {
        for (host, bare) in [
            ("a:80", "a"),
            ("a:", "a"),
            ("a", "a"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), bare.as_bytes());
        }
    }
}
