//! A static radix tree over byte strings: one walk along a path visits every string that is a prefix of it.

/// No list.
pub(crate) const NONE: u32 = u32::MAX;

/// A string of the tree and the lists that hang on it.
pub(crate) struct Item {
    pub(crate) key: Box<[u8]>,
    /// List for paths that begin with `key`, or [`NONE`].
    pub(crate) prefixes: u32,
    /// List for the path `key` itself, or [`NONE`].
    pub(crate) exacts: u32,
}

struct Node {
    /// The bytes between the parent and this node.
    label: u32,
    label_len: u32,
    first_child: u32,
    children: u32,
    /// Where a node with more than [`FEW`] children has its bitmap.
    wide: u32,
    prefixes: u32,
    exacts: u32,
}

impl Node {
    const EMPTY: Node = Node {
        label: 0,
        label_len: 0,
        first_child: 0,
        children: 0,
        wide: NONE,
        prefixes: NONE,
        exacts: NONE,
    };
}

/// Up to how many children are searched one by one.
const FEW: u32 = 4;

/// Which bytes lead to children; the child's place is the number of smaller bytes that do. So the cost of a step
/// does not depend on which child it takes.
struct Wide {
    bits: [u64; 4],
    /// Number of bits set in the words before each.
    before: [u8; 4],
}

impl Wide {
    fn new(bytes: &[u8]) -> Wide {
        let mut wide = Wide {
            bits: [0; 4],
            before: [0; 4],
        };
        for &byte in bytes {
            wide.bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
        }
        for word in 1..4 {
            wide.before[word] = wide.before[word - 1] + wide.bits[word - 1].count_ones() as u8;
        }
        wide
    }

    #[inline]
    fn position(&self, byte: u8) -> Option<u32> {
        let word = usize::from(byte >> 6);
        let (bits, bit) = (self.bits[word], 1_u64 << (byte & 63));
        (bits & bit != 0).then(|| u32::from(self.before[word]) + (bits & (bit - 1)).count_ones())
    }
}

/// The tree.
pub(crate) struct Trie {
    nodes: Box<[Node]>,
    /// First byte below each node's parent edge, in the order of `nodes`: children are searched here.
    first_bytes: Box<[u8]>,
    wide: Box<[Wide]>,
    labels: Box<[u8]>,
    /// Whether keys are lower case and walks fold ASCII case.
    folded: bool,
}

impl Trie {
    /// Builds the tree; no two items have the same key.
    pub(crate) fn new(mut items: Vec<Item>, folded: bool) -> Trie {
        if items.is_empty() {
            return Trie {
                nodes: Box::default(),
                first_bytes: Box::default(),
                wide: Box::default(),
                labels: Box::default(),
                folded,
            };
        }
        items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let mut nodes = vec![Node::EMPTY];
        let mut first_bytes = vec![0];
        let mut wide = Vec::new();
        let mut labels = Vec::new();
        // (node, its items, how many bytes of their keys are above the node's label), handled in breadth-first
        // order, so that the children of a node lie side by side. The order of keys puts a key in front of those
        // that continue it.
        let mut open = std::collections::VecDeque::from([(0_usize, 0..items.len(), 0_usize)]);
        while let Some((at, mut range, above)) = open.pop_front() {
            let (first, last) = (&items[range.start].key, &items[range.end - 1].key);
            // The root carries no label, so that walks begin at a node in any case.
            let depth = if at == 0 {
                0
            } else {
                above + common_prefix(&first[above..], &last[above..])
            };
            nodes[at].label = labels.len() as u32;
            nodes[at].label_len = (depth - above) as u32;
            labels.extend_from_slice(&first[above..depth]);
            if first.len() == depth {
                nodes[at].prefixes = items[range.start].prefixes;
                nodes[at].exacts = items[range.start].exacts;
                range.start += 1;
            }
            nodes[at].first_child = nodes.len() as u32;
            while !range.is_empty() {
                let byte = items[range.start].key[depth];
                let same = items[range.clone()].partition_point(|item| item.key[depth] == byte);
                open.push_back((nodes.len(), range.start..range.start + same, depth));
                nodes.push(Node::EMPTY);
                first_bytes.push(byte);
                nodes[at].children += 1;
                range.start += same;
            }
            if nodes[at].children > FEW {
                nodes[at].wide = wide.len() as u32;
                wide.push(Wide::new(&first_bytes[nodes[at].first_child as usize..]));
            }
        }
        Trie {
            nodes: nodes.into(),
            first_bytes: first_bytes.into(),
            wide: wide.into(),
            labels: labels.into(),
            folded,
        }
    }

    #[inline]
    fn child(&self, node: &Node, byte: u8) -> Option<&Node> {
        let first = node.first_child as usize;
        let at = match self.wide.get(node.wide as usize) {
            Some(wide) => wide.position(byte)? as usize,
            None => {
                let bytes = &self.first_bytes[first..first + node.children as usize];
                bytes.iter().position(|&other| other == byte)?
            }
        };
        Some(&self.nodes[first + at])
    }

    /// Calls `visit` with every list of a key that begins `path`, and the list of the key that is `path`,
    /// shortest key first.
    #[inline]
    pub(crate) fn walk(&self, path: &[u8], visit: impl FnMut(u32)) {
        if self.folded {
            self.walk_with::<true>(path, visit)
        } else {
            self.walk_with::<false>(path, visit)
        }
    }

    #[inline]
    fn walk_with<const FOLDED: bool>(&self, path: &[u8], mut visit: impl FnMut(u32)) {
        let Some(mut node) = self.nodes.first() else {
            return;
        };
        let mut rest = path;
        loop {
            let label = &self.labels[node.label as usize..][..node.label_len as usize];
            let Some((head, tail)) = rest.split_at_checked(label.len()) else {
                return;
            };
            if !(head == label || FOLDED && head.eq_ignore_ascii_case(label)) {
                return;
            }
            rest = tail;
            if node.prefixes != NONE {
                visit(node.prefixes);
            }
            let Some(&next) = rest.first() else {
                if node.exacts != NONE {
                    visit(node.exacts);
                }
                return;
            };
            let next = if FOLDED {
                next.to_ascii_lowercase()
            } else {
                next
            };
            let Some(child) = self.child(node, next) else {
                return;
            };
            node = child;
        }
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trie(keys: &[&str], folded: bool) -> Trie {
        let items = keys.iter().enumerate().map(|(number, key)| Item {
            key: key.as_bytes().into(),
            prefixes: number as u32,
            exacts: 100 + number as u32,
        });
        Trie::new(items.collect(), folded)
    }

    fn walk(trie: &Trie, path: &str) -> Vec<u32> {
        let mut seen = Vec::new();
        trie.walk(path.as_bytes(), |list| seen.push(list));
        seen
    }

    #[test]
    fn every_prefix_is_visited() {
        let tree = trie(&["", "/", "/api", "/api/v1", "/apples", "/b"], false);
        assert_eq!(walk(&tree, "/api/v1/x"), [0, 1, 2, 3]);
        assert_eq!(walk(&tree, "/api/v1"), [0, 1, 2, 3, 103]);
        assert_eq!(walk(&tree, "/api/v"), [0, 1, 2]);
        assert_eq!(walk(&tree, "/appl"), [0, 1]);
        assert_eq!(walk(&tree, "x"), [0]);
        assert_eq!(walk(&tree, ""), [0, 100]);
        assert_eq!(walk(&trie(&[], false), "/"), [0; 0]);
        assert_eq!(walk(&trie(&["/a"], false), "/b"), [0; 0]);
    }

    #[test]
    fn nodes_with_many_children() {
        let keys: Vec<String> = (0..=255_u8)
            .map(|byte| format!("/{}", byte as char))
            .collect();
        let tree = trie(&keys.iter().map(String::as_str).collect::<Vec<_>>(), false);
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(walk(&tree, &format!("{key}x")), [number as u32]);
        }
        assert_eq!(walk(&tree, "/\u{100}"), [0; 0]);
    }

    #[test]
    fn folded_walks_ignore_case() {
        let tree = trie(&["/api", "/apix/y"], true);
        assert_eq!(walk(&tree, "/API"), [0, 100]);
        assert_eq!(walk(&tree, "/aPiX/Y/z"), [0, 1]);
    }
}
