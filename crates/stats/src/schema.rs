//! The static description of a group: which stats it has, and the typed slots that name them in code.

use crate::codes::CodeSlot;
use crate::read::Kind;

/// What hot restart does with a gauge of the parent process (Envoy's `Gauge::ImportMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// The parent's value is added.
    Accumulate,
    /// The parent's value is ignored.
    NeverImport,
}

/// What a histogram measures (Envoy's `Histogram::Unit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    Unspecified,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// A fraction, recorded in millionths ([`Unit::PERCENT_SCALE`]) and shown as a fraction.
    Percent,
}

impl Unit {
    /// How many recorded units make 1.0 of a [`Unit::Percent`] histogram.
    pub const PERCENT_SCALE: u64 = 1_000_000;
}

/// A gauge of a [`Schema`].
#[derive(Clone, Copy, Debug)]
pub struct GaugeDef {
    /// The name after the group's prefix.
    pub name: &'static str,
    /// What hot restart does with it.
    pub import: ImportMode,
    /// Envoy sets it together with another stat, so that it counts as used when that one is: the other's place among
    /// counters and gauges, [`NOT_WITH`], or [`USED_ALWAYS`].
    pub used_with: u16,
}

/// [`GaugeDef::used_with`] of a gauge that is used once it was written.
pub const NOT_WITH: u16 = u16::MAX;

/// [`GaugeDef::used_with`] of a gauge that Envoy sets from the start.
pub const USED_ALWAYS: u16 = u16::MAX - 1;

/// A histogram of a [`Schema`].
#[derive(Clone, Copy, Debug)]
pub struct HistogramDef {
    /// The name after the group's prefix.
    pub name: &'static str,
    /// What is measured.
    pub unit: Unit,
    /// The name exists only once a value was recorded, as that of a histogram which Envoy makes then.
    pub lazy: bool,
}

/// The stats of one kind of group; made by [`stats_schema!`](crate::stats_schema), never by hand.
#[derive(Debug)]
pub struct Schema {
    /// The path of the declared type: identifies the schema.
    pub id: &'static str,
    /// Names of the counters, after the group's prefix.
    pub counters: &'static [&'static str],
    /// The gauges.
    pub gauges: &'static [GaugeDef],
    /// The histograms.
    pub histograms: &'static [HistogramDef],
    /// Stems of the families of per-status-code counters: `upstream_rq` stands for `upstream_rq_200`,
    /// `upstream_rq_2xx`, `upstream_rq_completed` …
    pub codes: &'static [&'static str],
    /// Whether the `_completed` of each of these families exists from the start, as that of a counter which Envoy makes then.
    pub completed: &'static [bool],
    /// Whether a name exists only once it was written, as that of a stat which Envoy makes when it first counts it.
    pub sparse: bool,
}

impl Schema {
    /// How many numeric slots a thread's block has.
    pub(crate) fn cells(&self) -> usize {
        self.counters.len() + self.gauges.len()
    }

    /// How many stats of `kind` there are, families of per-code counters apart.
    pub(crate) fn count(&self, kind: Kind) -> u16 {
        let count = match kind {
            Kind::Counter => self.counters.len(),
            Kind::Gauge => self.gauges.len(),
            Kind::Histogram => self.histograms.len(),
            Kind::TextReadout => 0,
        };
        count as u16
    }
}

/// The place of a counter in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CounterSlot(pub(crate) u16);

/// The place of a gauge in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GaugeSlot(pub(crate) u16);

/// The place of a histogram in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistogramSlot(pub(crate) u16);

/// The position of `name` in `names`; evaluated by the compiler, which reports a name that is absent.
#[doc(hidden)]
#[must_use]
pub const fn index_of(names: &[&str], name: &str) -> u16 {
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name) {
            return i as u16;
        }
        i += 1;
    }
    panic!("no such name in the schema")
}

/// The position of `name` among counters, then gauges; evaluated by the compiler, which reports a name that is absent.
#[doc(hidden)]
#[must_use]
pub const fn index_of_number(counters: &[&str], gauges: &[&str], name: &str) -> u16 {
    let mut i = 0;
    while i < counters.len() {
        if same(counters[i], name) {
            return i as u16;
        }
        i += 1;
    }
    counters.len() as u16 + index_of(gauges, name)
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[doc(hidden)]
#[must_use]
pub const fn counter_slot(index: u16) -> CounterSlot {
    CounterSlot(index)
}

#[doc(hidden)]
#[must_use]
pub const fn gauge_slot(index: u16) -> GaugeSlot {
    GaugeSlot(index)
}

#[doc(hidden)]
#[must_use]
pub const fn histogram_slot(index: u16) -> HistogramSlot {
    HistogramSlot(index)
}

#[doc(hidden)]
#[must_use]
pub const fn code_slot(index: u16) -> CodeSlot {
    CodeSlot(index)
}

/// Declares a [`Schema`] and the slots that name its stats in code.
///
/// A stat is written as its Envoy name; the slot is a constant of the declared type with that name in upper case. Where
/// the name has dots, or is not an identifier, write `identifier = "the.name"`. Sections may be left out but keep their
/// order. A histogram's unit is one of [`Unit`]; a gauge may have an [`ImportMode`] in parentheses (`Accumulate` unless
/// told), and `with other` when Envoy sets it together with that counter or gauge (`with always`: from the start),
/// which `usedonly` asks for. A histogram that is `(Ms, lazy)` exists once a value was recorded. Of codes `with
/// completed` the total exists from the start. `names { sparse }` at the end: each name exists only once it was
/// written. See the crate's page for an example.
#[macro_export]
macro_rules! stats_schema {
    (
        $(#[$meta:meta])*
        $vis:vis $schema:ident {
            $(counters { $($counter:ident $(= $counter_name:literal)?),* $(,)? })?
            $(gauges { $($gauge:ident $(= $gauge_name:literal)? $(($import:ident))? $(with $with:ident)?),* $(,)? })?
            $(histograms { $($histogram:ident $(= $histogram_name:literal)? ($unit:ident $(, $lazy:ident)?)),* $(,)? })?
            $(codes { $($code:ident $(= $code_name:literal)? $(with $completed:ident)?),* $(,)? })?
            $(names { $names:ident })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $schema;

        #[allow(dead_code, reason = "names that no slot refers to")]
        impl $schema {
            const COUNTERS: &'static [&'static str] =
                &[$($($crate::stats_schema!(@name $counter $($counter_name)?)),*)?];
            const GAUGES: &'static [&'static str] = &[$($($crate::stats_schema!(@name $gauge $($gauge_name)?)),*)?];
            const HISTOGRAMS: &'static [&'static str] =
                &[$($($crate::stats_schema!(@name $histogram $($histogram_name)?)),*)?];
            const CODES: &'static [&'static str] = &[$($($crate::stats_schema!(@name $code $($code_name)?)),*)?];

            /// The description to give to `Store::group`.
            $vis const SCHEMA: &'static $crate::Schema = &$crate::Schema {
                id: ::core::concat!(::core::module_path!(), "::", ::core::stringify!($schema)),
                counters: Self::COUNTERS,
                gauges: &[$($($crate::GaugeDef {
                    name: $crate::stats_schema!(@name $gauge $($gauge_name)?),
                    import: $crate::stats_schema!(@import $($import)?),
                    used_with: $crate::stats_schema!(@with $schema $($with)?),
                }),*)?],
                histograms: &[$($($crate::HistogramDef {
                    name: $crate::stats_schema!(@name $histogram $($histogram_name)?),
                    unit: $crate::Unit::$unit,
                    lazy: $crate::stats_schema!(@lazy $($lazy)?),
                }),*)?],
                codes: Self::CODES,
                completed: &[$($($crate::stats_schema!(@completed $($completed)?)),*)?],
                sparse: $crate::stats_schema!(@sparse $($names)?),
            };
        }

        $crate::private::paste! {
            #[allow(dead_code, reason = "a schema lists all of Envoy's stats; not all are counted from the first day")]
            impl $schema {
                $($(
                    #[doc = ::core::concat!("Counter `", $crate::stats_schema!(@name $counter $($counter_name)?), "`.")]
                    $vis const [<$counter:upper>]: $crate::CounterSlot =
                        $crate::private::counter_slot($crate::private::index_of(
                            Self::COUNTERS,
                            $crate::stats_schema!(@name $counter $($counter_name)?),
                        ));
                )*)?
                $($(
                    #[doc = ::core::concat!("Gauge `", $crate::stats_schema!(@name $gauge $($gauge_name)?), "`.")]
                    $vis const [<$gauge:upper>]: $crate::GaugeSlot =
                        $crate::private::gauge_slot(Self::COUNTERS.len() as u16 + $crate::private::index_of(
                            Self::GAUGES,
                            $crate::stats_schema!(@name $gauge $($gauge_name)?),
                        ));
                )*)?
                $($(
                    #[doc = ::core::concat!(
                        "Histogram `", $crate::stats_schema!(@name $histogram $($histogram_name)?), "`.")]
                    $vis const [<$histogram:upper>]: $crate::HistogramSlot =
                        $crate::private::histogram_slot($crate::private::index_of(
                            Self::HISTOGRAMS,
                            $crate::stats_schema!(@name $histogram $($histogram_name)?),
                        ));
                )*)?
                $($(
                    #[doc = ::core::concat!("Counters `", $crate::stats_schema!(@name $code $($code_name)?), "_<code>`.")]
                    $vis const [<$code:upper>]: $crate::CodeSlot =
                        $crate::private::code_slot($crate::private::index_of(
                            Self::CODES,
                            $crate::stats_schema!(@name $code $($code_name)?),
                        ));
                )*)?
            }
        }
    };
    (@name $ident:ident) => { ::core::stringify!($ident) };
    (@name $ident:ident $name:literal) => { $name };
    (@with $schema:ident) => { $crate::private::NOT_WITH };
    (@with $schema:ident always) => { $crate::private::USED_ALWAYS };
    (@with $schema:ident $with:ident) => {
        $crate::private::index_of_number($schema::COUNTERS, $schema::GAUGES, ::core::stringify!($with))
    };
    (@lazy) => { false };
    (@lazy lazy) => { true };
    (@completed) => { false };
    (@completed completed) => { true };
    (@sparse) => { false };
    (@sparse sparse) => { true };
    (@import) => { $crate::ImportMode::Accumulate };
    (@import $import:ident) => { $crate::ImportMode::$import };
}
