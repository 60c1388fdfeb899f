//! What code holds that asks for a value of the runtime: one atomic that changes follow, or nothing but a constant where no
//! layer can set the key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use nuncio_config::convert::Fraction;

use super::Entry;

/// The value of one key, as all who hold it see it.
#[derive(Debug)]
pub(super) struct Watched {
    /// [`UNSET`] when there is none.
    integer: AtomicU64,
    /// Bits of a number; [`UNSET`], which is no number, when there is none.
    double: AtomicU64,
    /// Numerator in the upper half, denominator in the lower one; [`UNSET`] when there is none.
    fraction: AtomicU64,
    /// 0 or 1; 2 when there is none.
    boolean: AtomicU8,
}

const UNSET: u64 = u64::MAX;
const NO_BOOLEAN: u8 = 2;

impl Watched {
    pub(super) fn new(entry: Option<&Entry>) -> Self {
        let watched = Self {
            integer: AtomicU64::new(UNSET),
            double: AtomicU64::new(UNSET),
            fraction: AtomicU64::new(UNSET),
            boolean: AtomicU8::new(NO_BOOLEAN),
        };
        watched.set(entry);
        watched
    }

    pub(super) fn set(&self, entry: Option<&Entry>) {
        let none = Entry::default();
        let entry = entry.unwrap_or(&none);
        self.integer.store(entry.integer.unwrap_or(UNSET), Relaxed);
        self.double
            .store(entry.double.map_or(UNSET, f64::to_bits), Relaxed);
        let fraction = entry.as_fraction().map_or(UNSET, |fraction| {
            u64::from(fraction.numerator) << 32 | u64::from(fraction.denominator)
        });
        self.fraction.store(fraction, Relaxed);
        let boolean = entry.boolean.map_or(NO_BOOLEAN, u8::from);
        self.boolean.store(boolean, Relaxed);
    }
}

fn set(value: &AtomicU64) -> Option<u64> {
    Some(value.load(Relaxed)).filter(|value| *value != UNSET)
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $value:ty, |$watched:ident| $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            watched: Option<Arc<Watched>>,
            default: $value,
        }

        impl $name {
            pub(super) fn new(watched: Option<Arc<Watched>>, default: $value) -> Self {
                Self { watched, default }
            }

            /// A value that no layer changes.
            pub fn fixed(value: $value) -> Self {
                Self::new(None, value)
            }

            /// Whether no layer can ever change the value.
            #[inline]
            pub fn is_fixed(&self) -> bool {
                self.watched.is_none()
            }

            /// The value at this moment.
            #[inline]
            pub fn get(&self) -> $value {
                self.overridden().unwrap_or(self.default)
            }

            /// The value that a layer sets, if one does.
            #[inline]
            pub fn overridden(&self) -> Option<$value> {
                let $watched = self.watched.as_ref()?;
                $read
            }
        }
    };
}

handle! {
    /// A whole number (Envoy's `getInteger`, `RuntimeUInt32`).
    RuntimeInteger, u64, |watched| set(&watched.integer)
}
handle! {
    /// A number (`RuntimeDouble`, `RuntimePercent`).
    RuntimeDouble, f64, |watched| set(&watched.double).map(f64::from_bits)
}
handle! {
    /// A switch (`RuntimeFeatureFlag`).
    RuntimeBool, bool, |watched| match watched.boolean.load(Relaxed) {
        NO_BOOLEAN => None,
        value => Some(value == 1),
    }
}
handle! {
    /// A share (`RuntimeFractionalPercent`).
    RuntimeFraction, Fraction, |watched| set(&watched.fraction).map(|packed| Fraction {
        numerator: (packed >> 32) as u32,
        denominator: packed as u32,
    })
}

impl RuntimeFraction {
    /// Whether `random`, a uniformly distributed number, falls into the share.
    #[inline]
    pub fn hit(&self, random: u64) -> bool {
        self.get().hit(random)
    }
}
