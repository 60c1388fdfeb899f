//! Which parts of a bootstrap have errors: what is found elsewhere is no consequence of them.

use crate::api::cluster::Cluster;

/// Listeners, clusters, and other fields of the bootstrap in which something is wrong, as the beginnings of paths.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Vec<String>);

const RESOURCES: &str = "static_resources";

impl Suspects {
    /// The parts that these errors are in. `None`: they concern the whole.
    pub(crate) fn of<'p>(paths: impl Iterator<Item = &'p str>) -> Option<Self> {
        let mut parts = paths
            .map(|path| part(path).map(str::to_owned))
            .collect::<Option<Vec<_>>>()?;
        parts.sort_unstable();
        parts.dedup();
        Some(Self(parts))
    }

    /// Whether an error at this path may be only the consequence of one of those.
    pub(crate) fn covers(&self, path: &str) -> bool {
        !self.is_empty() && part(path).is_none_or(|part| self.has(part))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn listener(&self, index: usize) -> bool {
        !self.is_empty() && self.has(&format!("{RESOURCES}.listeners[{index}]"))
    }

    pub(crate) fn cluster(&self, index: usize) -> bool {
        !self.is_empty() && self.has(&format!("{RESOURCES}.clusters[{index}]"))
    }

    fn has(&self, part: &str) -> bool {
        self.0
            .binary_search_by(|known| known.as_str().cmp(part))
            .is_ok()
    }
}

/// The part that a path leads into: a static resource, or a field of the bootstrap.
fn part(path: &str) -> Option<&str> {
    let field = path
        .split(['.', '['])
        .next()
        .filter(|field| !field.is_empty())?;
    if field != RESOURCES {
        return Some(field);
    }
    path.find(']').map(|end| &path[..=end])
}

/// An empty cluster of the same name.
pub(crate) fn stand_in(cluster: Cluster) -> Cluster {
    Cluster {
        name: cluster.name,
        ..Cluster::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Option<Suspects> {
        Suspects::of(paths.iter().copied())
    }

    #[test]
    fn a_resource_is_a_part_and_so_is_a_field_of_the_bootstrap() {
        let suspects = of(&[
            "static_resources.clusters[3].load_assignment.endpoints[0]",
            "static_resources.listeners[0]",
            "admin.address.socket_address",
        ])
        .unwrap();
        assert!(suspects.cluster(3) && suspects.listener(0));
        assert!(!suspects.cluster(0) && !suspects.listener(3));
        assert!(suspects.covers("static_resources.clusters[3].name"));
        assert!(suspects.covers("admin"));
        assert!(!suspects.covers("static_resources.clusters[30].name"));
        assert!(!suspects.covers("stats_config.stats_tags[0]"));
        assert!(suspects.covers(""), "who knows");
    }

    #[test]
    fn an_error_of_the_whole_leaves_nothing_to_be_said() {
        assert!(of(&["admin", ""]).is_none());
        assert!(of(&["static_resources"]).is_none());
    }

    #[test]
    fn without_errors_nothing_is_suspect() {
        let none = Suspects::default();
        assert!(!none.covers("") && !none.covers("admin") && !none.cluster(0));
    }
}
