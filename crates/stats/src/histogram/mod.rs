//! Histograms with the bins of libcircllhist: two significant digits per value.

pub(crate) mod bins;
mod distribution;
mod merged;
pub(crate) mod pages;

pub use distribution::Bucket;
pub use merged::{HistogramView, QUANTILES, Span};

pub(crate) use distribution::Distribution;
pub(crate) use merged::Merged;
