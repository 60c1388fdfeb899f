//! Limits on frames that carry nothing, and on frames that wait.

use super::Connection;
use crate::h2::StreamKey;
use crate::h2::fault::{self, Failure};

impl Connection {
    /// Counts HEADERS, CONTINUATION and DATA frames that carry nothing and end nothing.
    #[inline]
    pub(super) fn count_payload(
        &mut self,
        len: usize,
        end_stream: bool,
        stream: Option<StreamKey>,
    ) -> Result<(), Failure> {
        if len > 0 || end_stream {
            self.inbound.empty = 0;
            return Ok(());
        }
        self.inbound.empty += 1;
        if self.inbound.empty <= self.settings.max_consecutive_empty_frames {
            return Ok(());
        }
        self.counts().inbound_empty_frames_flood += 1;
        let mut failure = fault::flood(
            "codec_error:Too_many_consecutive_frames_with_an_empty_payload",
            "Too many consecutive frames with an empty payload",
        );
        failure.error.stream = stream;
        failure.error.stream_details = fault::EMPTY_FRAMES;
        Err(failure)
    }

    /// Whether too many frames wait to be written.
    #[inline]
    pub(super) fn check_outbound(&mut self) -> Result<(), Failure> {
        if self.outbound.frames > self.settings.max_outbound_frames {
            self.counts().outbound_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_frames_in_the_outbound_queue.",
                "Too many frames in the outbound queue.",
            ));
        }
        if self.outbound.control > self.settings.max_outbound_control_frames {
            self.counts().outbound_control_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_control_frames_in_the_outbound_queue.",
                "Too many control frames in the outbound queue.",
            ));
        }
        Ok(())
    }
}
