//! "Did you mean …?": the nearest valid name by edit distance.

/// The candidate nearest to `name`, if one is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.len() / 3).clamp(1, 4);
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| {
            (
                distance(&name.to_ascii_lowercase(), &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The only candidate that is `name` with more words behind it, or else before it: `port_value` for `port`, `typed_config` for
/// `config`.
pub(crate) fn longer<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.collect();
    let only = |fits: &dyn Fn(&str) -> bool| {
        let mut fitting = candidates.iter().filter(|candidate| fits(candidate));
        fitting.next().filter(|_| fitting.next().is_none()).copied()
    };
    let rest_begins = |rest: &str| rest.starts_with('_');
    let rest_ends = |rest: &str| rest.ends_with('_');
    only(&|candidate| candidate.strip_prefix(name).is_some_and(rest_begins))
        .or_else(|| only(&|candidate| candidate.strip_suffix(name).is_some_and(rest_ends)))
}

/// Levenshtein distance in which swapping two neighbours counts as one change. Names longer than 100 bytes are
/// not compared.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().max(b.len()) > 100 {
        return usize::MAX;
    }
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found() {
        let names = ["connect_timeout", "lb_policy", "type"];
        assert_eq!(
            nearest("conect_timeout", names.into_iter()),
            Some("connect_timeout")
        );
        assert_eq!(nearest("lb_polciy", names.into_iter()), Some("lb_policy"));
        assert_eq!(nearest("Type", names.into_iter()), Some("type"));
        assert_eq!(nearest("hosts", names.into_iter()), None);
    }

    #[test]
    fn parts_of_names_are_found() {
        let names = ["address", "port_value", "named_port", "typed_config"];
        assert_eq!(longer("port", names.into_iter()), Some("port_value"));
        assert_eq!(longer("config", names.into_iter()), Some("typed_config"));
        assert_eq!(longer("value", ["a_value", "b_value"].into_iter()), None);
        assert_eq!(longer("", names.into_iter()), None);
    }
}
