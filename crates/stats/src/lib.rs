//! Counters, gauges and histograms, sharded by thread.
