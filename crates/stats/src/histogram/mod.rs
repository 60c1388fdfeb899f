//! Histograms with the bins of libcircllhist: two significant digits per value.

pub(crate) mod bins;
pub(crate) mod pages;
