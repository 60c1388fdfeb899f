//! Two buffers beside two plain vectors.

use nuncio_buffer::Buffer;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Change {
    Append(Vec<u8>),
    Consume(usize),
    Truncate(usize),
    MoveAll,
    Move(usize),
    Split(usize),
    Reserve(usize),
    Release,
    /// The other buffer is meant from now on.
    Swap,
}

fn change() -> impl Strategy<Value = Change> {
    let size = || 0..6000_usize;
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..3000).prop_map(Change::Append),
        3 => size().prop_map(Change::Consume),
        1 => size().prop_map(Change::Truncate),
        2 => Just(Change::MoveAll),
        2 => size().prop_map(Change::Move),
        1 => size().prop_map(Change::Split),
        1 => size().prop_map(Change::Reserve),
        1 => Just(Change::Release),
        3 => Just(Change::Swap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_vector(changes in proptest::collection::vec(change(), 0..60)) {
        let (mut a, mut b) = (Buffer::new(), Buffer::new());
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for change in changes {
            match &change {
                Change::Append(bytes) => {
                    a.append_slice(bytes);
                    x.extend_from_slice(bytes);
                }
                Change::Consume(n) => {
                    let n = *n.min(&x.len());
                    a.consume(n);
                    x.drain(..n);
                }
                Change::Truncate(n) => {
                    a.truncate(*n);
                    x.truncate(*n);
                }
                Change::MoveAll => {
                    b.append(&mut a);
                    y.append(&mut x);
                }
                Change::Move(n) => {
                    a.move_to(&mut b, *n);
                    y.extend(x.drain(..*n.min(&x.len())));
                }
                Change::Split(n) => {
                    let front = a.split_to(*n);
                    let expected: Vec<_> = x.drain(..*n.min(&x.len())).collect();
                    prop_assert_eq!(front.as_slice(), expected);
                }
                Change::Reserve(n) => {
                    let storage = a.writer(*n);
                    prop_assert!(storage.capacity() - storage.len() >= *n);
                }
                Change::Release => a.release(),
                Change::Swap => {
                    std::mem::swap(&mut a, &mut b);
                    std::mem::swap(&mut x, &mut y);
                }
            }
            prop_assert_eq!(a.as_slice(), x.as_slice(), "after {:?}", change);
            prop_assert_eq!(b.as_slice(), y.as_slice(), "after {:?}", change);
            prop_assert_eq!(a.is_empty(), x.is_empty());
        }
    }
}
