//! The gauges of what connections hold in their buffers.

use nuncio_stats::{GaugeSlot, LocalGroup};

use crate::stats::ClusterStats as S;

/// What `upstream_cx_rx_bytes_buffered` and `upstream_cx_tx_bytes_buffered` show for one connection.
///
/// As Envoy shows it: what the read buffer held right after the last read, and what the write buffer held after the last
/// write, until the next one.
#[derive(Debug, Default)]
pub(super) struct Buffered {
    received: usize,
    unsent: usize,
}

impl Buffered {
    /// The read buffer holds so much after a read.
    #[inline]
    pub(super) fn on_read(&mut self, stats: &LocalGroup, length: usize) {
        let slot = S::UPSTREAM_CX_RX_BYTES_BUFFERED;
        show(stats, slot, &mut self.received, length);
    }

    /// The write buffer holds so much after a write.
    #[inline]
    pub(super) fn on_write(&mut self, stats: &LocalGroup, length: usize) {
        let slot = S::UPSTREAM_CX_TX_BYTES_BUFFERED;
        show(stats, slot, &mut self.unsent, length);
    }

    /// The connection is gone.
    pub(super) fn clear(&mut self, stats: &LocalGroup) {
        self.on_read(stats, 0);
        self.on_write(stats, 0);
    }
}

#[inline]
fn show(stats: &LocalGroup, slot: GaugeSlot, shown: &mut usize, now: usize) {
    let before = std::mem::replace(shown, now);
    if now > before {
        stats.gauge_add(slot, (now - before) as u64);
    } else if now < before {
        stats.gauge_sub(slot, (before - now) as u64);
    }
}
