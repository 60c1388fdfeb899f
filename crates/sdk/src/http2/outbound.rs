//! Gauges of frames that wait to be written (`outbound_frames_active`, `outbound_control_frames_active`).

use nuncio_stats::LocalGroup;

use super::Http2Stats;

/// What the gauges show of one connection. To be [cleared](Self::show) with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutboundFrames {
    all: u32,
    control: u32,
}

impl OutboundFrames {
    /// Shows so many frames, and control frames among them. Costs nothing while none wait.
    #[inline]
    pub fn show<'a>(&mut self, (all, control): (u32, u32), stats: impl FnOnce() -> &'a LocalGroup) {
        if all | control | self.all | self.control != 0 {
            self.change(stats(), all, control);
        }
    }

    #[cold]
    fn change(&mut self, stats: &LocalGroup, all: u32, control: u32) {
        for (slot, shown, now) in [
            (Http2Stats::OUTBOUND_FRAMES_ACTIVE, &mut self.all, all),
            (
                Http2Stats::OUTBOUND_CONTROL_FRAMES_ACTIVE,
                &mut self.control,
                control,
            ),
        ] {
            let before = std::mem::replace(shown, now);
            if now > before {
                stats.gauge_add(slot, u64::from(now - before));
            } else {
                stats.gauge_sub(slot, u64::from(before - now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_do_not_wait_cost_nothing() {
        OutboundFrames::default().show((0, 0), || unreachable!("nothing changes"));
    }
}
