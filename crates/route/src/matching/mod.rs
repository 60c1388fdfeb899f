//! `xds.type.matcher.v3.Matcher`, compiled: from what is known of a request or connection to an action.
//!
//! * [`MatchTree`] is the tree; [`MatchTree::find`] walks it without an allocation or a lock.
//! * [`Place`] is where a tree stands in the configuration: it says which inputs and actions are possible there, and
//!   [`compile`] does the rest. Virtual hosts (`compile/matcher.rs`) and cluster specifiers are places.
//! * [`Input`] reads a [`Value`] from what is matched; [`HttpInput`] does so for requests.
//!
//! Maps of exact values are looked up by hash, prefixes in one walk along the value, addresses by hash for each length of prefix
//! that occurs, longest first.

mod addresses;
mod compile;
mod http;
mod names;
mod predicate;
mod prefixes;
#[cfg(test)]
mod tests;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use nuncio_config::api::protobuf::value::Kind;
use smallvec::SmallVec;

pub(crate) use addresses::AddressSet;
use addresses::AddressTree;
pub use compile::{Place, compile};
pub use http::{HttpData, HttpInput};
use names::NameTree;
use predicate::Predicate;
use prefixes::PrefixTree;

/// Where a value comes from.
pub trait Input {
    /// What it is taken from.
    type Data<'d>: Copy
    where
        Self: 'd;

    /// Takes it.
    fn get<'d>(&'d self, data: Self::Data<'d>) -> Value<'d>;
}

/// What an [`Input`] gives.
#[derive(Debug)]
pub enum Value<'d> {
    /// It is not known yet: whether anything matches cannot be told.
    Pending,
    /// There is none.
    Absent,
    /// A text.
    Text(&'d [u8]),
    /// A text that is made for the question.
    Made(SmallVec<[u8; 64]>),
    /// A value of dynamic metadata, which is for `input_matchers.metadata` only.
    Metadata(Option<&'d Kind>),
}

impl Value<'_> {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text),
            Value::Made(text) => Some(text),
            Value::Pending | Value::Absent | Value::Metadata(_) => None,
        }
    }
}

/// What a tree makes of something.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'t, A> {
    /// This is to be done.
    Matched(&'t A),
    /// Nothing is.
    NoMatch,
    /// An input that decides is not known yet.
    Pending,
}

/// `xds.type.matcher.v3.Matcher`
#[derive(Debug)]
pub struct MatchTree<I, A> {
    kind: TreeKind<I, A>,
    on_no_match: Option<OnMatch<I, A>>,
}

#[derive(Debug)]
enum TreeKind<I, A> {
    /// Only `on_no_match`.
    Nothing,
    /// `matcher_list`: the first predicate that holds and leads to something.
    List(Box<[FieldMatcher<I, A>]>),
    /// `matcher_tree`
    Tree(I, Branches<I, A>),
}

/// `MatcherList.FieldMatcher`
#[derive(Debug)]
struct FieldMatcher<I, A> {
    predicate: Predicate<I>,
    on_match: OnMatch<I, A>,
}

/// `MatcherTree.tree_type`
#[derive(Debug)]
enum Branches<I, A> {
    Exact(HashMap<Box<[u8]>, OnMatch<I, A>, FixedState>),
    Prefix(PrefixTree<OnMatch<I, A>>),
    Address(AddressTree<OnMatch<I, A>>),
    Name(NameTree<OnMatch<I, A>>),
}

/// `Matcher.OnMatch`
#[derive(Debug)]
struct OnMatch<I, A> {
    then: Then<I, A>,
    /// What is found is told, and then passed over.
    keep_matching: bool,
}

#[derive(Debug)]
enum Then<I, A> {
    Action(A),
    Tree(Box<MatchTree<I, A>>),
}

impl<I: Input, A> MatchTree<I, A> {
    /// What is to be done about `data`. `skipped` is told of actions with `keep_matching`, in their order.
    pub fn find<'t>(&'t self, data: I::Data<'t>, skipped: &mut dyn FnMut(&'t A)) -> Outcome<'t, A> {
        let outcome = match &self.kind {
            TreeKind::Nothing => Outcome::NoMatch,
            TreeKind::List(list) => Self::find_in_list(list, data, skipped),
            TreeKind::Tree(input, branches) => match input.get(data) {
                Value::Pending => Outcome::Pending,
                value => value.text().map_or(Outcome::NoMatch, |text| {
                    Self::find_branch(branches, text, data, skipped)
                }),
            },
        };
        match (outcome, &self.on_no_match) {
            (Outcome::NoMatch, Some(on_no_match)) => on_no_match.follow(data, skipped),
            (outcome, _) => outcome,
        }
    }

    fn find_in_list<'t>(
        list: &'t [FieldMatcher<I, A>],
        data: I::Data<'t>,
        skipped: &mut dyn FnMut(&'t A),
    ) -> Outcome<'t, A> {
        for FieldMatcher {
            predicate,
            on_match,
        } in list
        {
            match predicate.holds(data) {
                None => return Outcome::Pending,
                Some(false) => continue,
                Some(true) => {}
            }
            match on_match.follow(data, skipped) {
                Outcome::NoMatch => {}
                outcome => return outcome,
            }
        }
        Outcome::NoMatch
    }

    /// Tries every branch that the text leads to, the best one first, until one leads to something.
    fn find_branch<'t>(
        branches: &'t Branches<I, A>,
        text: &[u8],
        data: I::Data<'t>,
        skipped: &mut dyn FnMut(&'t A),
    ) -> Outcome<'t, A> {
        let mut outcome = Outcome::NoMatch;
        let mut follow = |on_match: &'t OnMatch<I, A>| {
            outcome = on_match.follow(data, skipped);
            !matches!(outcome, Outcome::NoMatch)
        };
        match branches {
            Branches::Exact(map) => {
                let _ = map.get(text).is_some_and(&mut follow);
            }
            Branches::Prefix(tree) => tree.walk(text, &mut follow),
            Branches::Address(tree) => tree.walk(text, &mut follow),
            Branches::Name(tree) => tree.walk(text, &mut follow),
        }
        outcome
    }
}

impl<I: Input, A> OnMatch<I, A> {
    fn follow<'t>(&'t self, data: I::Data<'t>, skipped: &mut dyn FnMut(&'t A)) -> Outcome<'t, A> {
        let outcome = match &self.then {
            Then::Action(action) => Outcome::Matched(action),
            Then::Tree(tree) => tree.find(data, skipped),
        };
        match outcome {
            Outcome::Matched(action) if self.keep_matching => {
                skipped(action);
                Outcome::NoMatch
            }
            outcome => outcome,
        }
    }
}
