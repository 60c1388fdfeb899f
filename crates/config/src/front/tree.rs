//! [`Tree`]: a parsed document in two allocations, 16 bytes a node.
//!
//! Nodes stand in document order; a list or mapping is followed by its children, a mapping's children
//! being key, value, key, value. A container knows how many nodes lie below it, which makes a subtree
//! position-independent: an alias is a copy of its anchor's nodes.

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// 1-based; 0 when not known.
    pub(crate) line: u32,
    /// 1-based, in characters.
    pub(crate) column: u32,
}

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const NUMBER: u8 = 4;
const STRING: u8 = 5;
const LIST: u8 = 6;
const MAP: u8 = 7;
/// A mapping's key that was tagged `!ignore`.
const IGNORED_KEY: u8 = 8;
const WORD: u8 = 9;
const BYTES: u8 = 10;

#[derive(Clone, Copy, Debug)]
struct Node {
    line: u32,
    /// Column in the upper 24 bits (saturating), kind in the lower 8.
    column_kind: u32,
    /// Text: offset in the arena. Container: number of children. Int: low half.
    a: u32,
    /// Text: length. Container: number of nodes below it. Int: high half.
    b: u32,
}

impl Node {
    fn new(place: Place, kind: u8, a: u32, b: u32) -> Self {
        Self {
            line: place.line,
            column_kind: place.column.min(0xff_ffff) << 8 | u32::from(kind),
            a,
            b,
        }
    }

    fn kind(self) -> u8 {
        self.column_kind.to_le_bytes()[0]
    }

    fn place(self) -> Place {
        Place {
            line: self.line,
            column: self.column_kind >> 8,
        }
    }

    /// Itself and everything below it.
    fn span(self) -> usize {
        match self.kind() {
            LIST | MAP => self.b as usize + 1,
            _ => 1,
        }
    }
}

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    text: String,
}

/// A value in a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'t> {
    tree: &'t Tree,
    at: usize,
}

/// What a [`Value`] is.
#[derive(Clone, Debug)]
pub(crate) enum Content<'t> {
    Null,
    Bool(bool),
    /// A YAML integer.
    Int(i64),
    /// A JSON number as it was written.
    Number(&'t str),
    Str(&'t str),
    /// An identifier of the text format, perhaps with a minus sign before it.
    Word(&'t str),
    /// A string of the text format that is not UTF-8; each character stands for the byte of its number.
    Bytes(&'t str),
    List(Items<'t>),
    Map(Entries<'t>),
}

impl Tree {
    /// The document's root.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { tree: self, at: 0 }
    }
}

impl<'t> Value<'t> {
    fn node(self) -> Node {
        self.tree.nodes[self.at]
    }

    /// Where it starts.
    pub(crate) fn place(self) -> Place {
        self.node().place()
    }

    /// What it is.
    pub(crate) fn content(self) -> Content<'t> {
        let node = self.node();
        let children = Items {
            tree: self.tree,
            at: self.at + 1,
            left: node.a,
        };
        match node.kind() {
            NULL => Content::Null,
            FALSE => Content::Bool(false),
            TRUE => Content::Bool(true),
            INT => Content::Int((u64::from(node.b) << 32 | u64::from(node.a)).cast_signed()),
            NUMBER => Content::Number(self.text(node)),
            WORD => Content::Word(self.text(node)),
            BYTES => Content::Bytes(self.text(node)),
            LIST => Content::List(children),
            MAP => Content::Map(Entries(children)),
            _ => Content::Str(self.text(node)),
        }
    }

    fn text(self, node: Node) -> &'t str {
        &self.tree.text[node.a as usize..][..node.b as usize]
    }

    /// The value of the last entry of a mapping with this key, which is the one that counts.
    pub(crate) fn get(self, key: &str) -> Option<(Value<'t>, Value<'t>)> {
        match self.content() {
            Content::Map(entries) => entries.filter(|(k, _)| k.as_str() == Some(key)).last(),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub(crate) fn as_str(self) -> Option<&'t str> {
        match self.content() {
            Content::Str(text) => Some(text),
            _ => None,
        }
    }

    /// What to call it in a message.
    pub(crate) fn describe(self) -> &'static str {
        match self.content() {
            Content::Null => "null",
            Content::Bool(_) => "a boolean",
            Content::Int(_) | Content::Number(_) => "a number",
            Content::Str(_) | Content::Bytes(_) => "a string",
            Content::Word(_) => "a word without quotes",
            Content::List(_) => "a list",
            Content::Map(_) => "a mapping",
        }
    }
}

/// The elements of a list.
#[derive(Clone, Debug)]
pub(crate) struct Items<'t> {
    tree: &'t Tree,
    at: usize,
    left: u32,
}

impl<'t> Iterator for Items<'t> {
    type Item = Value<'t>;

    fn next(&mut self) -> Option<Value<'t>> {
        self.left = self.left.checked_sub(1)?;
        let value = Value {
            tree: self.tree,
            at: self.at,
        };
        self.at += value.node().span();
        Some(value)
    }
}

/// The entries of a mapping, key and value, in document order; keys tagged `!ignore` are left out.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'t>(Items<'t>);

impl<'t> Iterator for Entries<'t> {
    type Item = (Value<'t>, Value<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = (self.0.next()?, self.0.next()?);
            if entry.0.node().kind() != IGNORED_KEY {
                return Some(entry);
            }
        }
    }
}

/// Builds a [`Tree`] from front to back.
#[derive(Debug)]
pub(super) struct Builder {
    tree: Tree,
    open: Vec<usize>,
}

/// Nodes that aliases may add: far beyond any honest document, and 64 MiB.
const MAX_ALIASED: usize = 4 << 20;

impl Builder {
    /// `text_len`: size of the source, to reserve by. A text of 4 GiB or more must be refused before.
    pub(super) fn new(text_len: usize) -> Self {
        let tree = Tree {
            nodes: Vec::with_capacity(text_len / 16),
            text: String::with_capacity(text_len / 2),
        };
        Self {
            tree,
            open: Vec::new(),
        }
    }

    fn push(&mut self, place: Place, kind: u8, a: u32, b: u32) {
        if let Some(&parent) = self.open.last() {
            self.tree.nodes[parent].a += 1;
        }
        self.tree.nodes.push(Node::new(place, kind, a, b));
    }

    fn push_text(&mut self, place: Place, kind: u8, text: &str) {
        let start = self.tree.text.len();
        self.tree.text.push_str(text);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "texts are shorter than 4 GiB, see `new`"
        )]
        self.push(place, kind, start as u32, text.len() as u32);
    }

    pub(super) fn null(&mut self, place: Place) {
        self.push(place, NULL, 0, 0);
    }

    pub(super) fn bool(&mut self, place: Place, value: bool) {
        self.push(place, if value { TRUE } else { FALSE }, 0, 0);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves are meant")]
    pub(super) fn int(&mut self, place: Place, value: i64) {
        self.push(place, INT, value as u32, (value >> 32) as u32);
    }

    pub(super) fn number(&mut self, place: Place, text: &str) {
        self.push_text(place, NUMBER, text);
    }

    pub(super) fn string(&mut self, place: Place, text: &str) {
        self.push_text(place, STRING, text);
    }

    pub(super) fn word(&mut self, place: Place, text: &str) {
        self.push_text(place, WORD, text);
    }

    /// A string that is text only if it is UTF-8.
    pub(super) fn bytes(&mut self, place: Place, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.string(place, text),
            Err(_) => {
                let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
                self.push_text(place, BYTES, &text);
            }
        }
    }

    pub(super) fn ignored_key(&mut self, place: Place) {
        self.push(place, IGNORED_KEY, 0, 0);
    }

    /// Opens a list; what follows goes into it until [`Self::close`].
    pub(super) fn open_list(&mut self, place: Place) {
        self.push(place, LIST, 0, 0);
        self.open.push(self.tree.nodes.len() - 1);
    }

    /// Opens a mapping.
    pub(super) fn open_map(&mut self, place: Place) {
        self.push(place, MAP, 0, 0);
        self.open.push(self.tree.nodes.len() - 1);
    }

    /// Closes the innermost container.
    pub(super) fn close(&mut self) {
        if let Some(at) = self.open.pop() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "fewer nodes than bytes of text, plus MAX_ALIASED"
            )]
            {
                self.tree.nodes[at].b = (self.tree.nodes.len() - at - 1) as u32;
            }
        }
    }

    /// How many containers are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Whether the next value is a mapping's key.
    pub(super) fn at_key(&self) -> bool {
        self.open.last().is_some_and(|&at| {
            let node = self.tree.nodes[at];
            node.kind() == MAP && node.a.is_multiple_of(2)
        })
    }

    /// Index of the next node, which is how an anchor is remembered.
    pub(super) fn next_index(&self) -> usize {
        self.tree.nodes.len()
    }

    /// Copies the finished value at `index`. `budget` counts the nodes that aliases added so far.
    pub(super) fn alias(&mut self, index: usize, budget: &mut usize) -> Result<(), &'static str> {
        if self.open.contains(&index) {
            return Err("an anchor cannot contain itself");
        }
        let span = self.tree.nodes[index].span();
        *budget += span;
        if *budget > MAX_ALIASED {
            return Err("aliases expand to too large a document");
        }
        if let Some(&parent) = self.open.last() {
            self.tree.nodes[parent].a += 1;
        }
        self.tree.nodes.extend_from_within(index..index + span);
        Ok(())
    }

    pub(super) fn finish(self) -> Tree {
        self.tree
    }
}
