//! Control frames that come in, SETTINGS that go out, and the limits on frames.

use nuncio_buffer::Buffer;

use super::{Connection, Goodbye};
use crate::Event;
use crate::h2::fault::{self, Failure};
use crate::h2::frame::{self, Head, MAX_31, MAX_PAYLOAD, flag, kind};
use crate::h2::window::SendWindow;
use crate::h2::{ErrorCode, Incoming, Role, StreamKey};

/// Entries of a SETTINGS frame that are taken; nghttp2's limit.
const MAX_SETTINGS: usize = 32;

/// Identifiers of SETTINGS (RFC 9113, section 6.5.2; RFC 8441; RFC 9218).
mod id {
    pub(super) const HEADER_TABLE_SIZE: u16 = 1;
    pub(super) const ENABLE_PUSH: u16 = 2;
    pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(super) const MAX_FRAME_SIZE: u16 = 5;
    pub(super) const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    pub(super) const NO_RFC7540_PRIORITIES: u16 = 9;
}

fn wrong_size(reason: &'static str) -> Failure {
    fault::wordless(ErrorCode::FRAME_SIZE_ERROR, reason)
}

fn window_too_large() -> Failure {
    fault::silent(
        ErrorCode::FLOW_CONTROL_ERROR,
        "SETTINGS: too large SETTINGS_INITIAL_WINDOW_SIZE",
    )
}

fn protocol(reason: &'static str) -> Failure {
    fault::silent(ErrorCode::PROTOCOL_ERROR, reason)
}

impl Connection {
    /// SETTINGS in Envoy's order.
    pub(super) fn send_settings(&mut self, out: &mut Buffer) {
        let settings = &self.settings;
        let mut entries: Vec<(u16, u32)> = Vec::with_capacity(8);
        if self.role == Role::Client {
            entries.push((id::ENABLE_PUSH, 0));
        }
        entries.extend([
            (id::HEADER_TABLE_SIZE, self.own_table_size),
            (id::ENABLE_CONNECT_PROTOCOL, settings.allow_connect.into()),
            (id::MAX_CONCURRENT_STREAMS, self.own_max_streams),
            (id::INITIAL_WINDOW_SIZE, self.own_window),
        ]);
        for &(identifier, value) in &settings.custom_settings {
            if entries.iter().all(|&(known, _)| known != identifier) {
                entries.push((identifier, value));
            }
        }
        frame::head(out, kind::SETTINGS, 0, 0, entries.len() * 6);
        for (identifier, value) in &entries {
            out.append_slice(&identifier.to_be_bytes());
            out.append_slice(&value.to_be_bytes());
        }
        self.outbound.add_control(frame::HEAD + 6 * entries.len());
        self.unacknowledged += 1;
    }

    /// Opens the connection's window to its configured size, which SETTINGS cannot do.
    pub(super) fn send_connection_window(&mut self, out: &mut Buffer) {
        let more = self
            .settings
            .initial_connection_window_size
            .saturating_sub(super::DEFAULT_WINDOW);
        if more > 0 {
            frame::number(out, kind::WINDOW_UPDATE, 0, more);
            self.outbound.add(frame::HEAD + 4);
        }
    }

    #[cold]
    pub(super) fn on_settings(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        if !payload.len().is_multiple_of(6) || (head.has(flag::ACK) && !payload.is_empty()) {
            return Err(wrong_size("SETTINGS: wrong size"));
        }
        if head.stream != 0 {
            return Err(protocol("SETTINGS: stream_id != 0"));
        }
        if head.has(flag::ACK) {
            let Some(left) = self.unacknowledged.checked_sub(1) else {
                return Err(protocol("SETTINGS: unexpected ACK"));
            };
            self.unacknowledged = left;
            self.decoder.set_limit(self.own_table_size);
            return Ok(Incoming::Progress);
        }
        if payload.len() / 6 > MAX_SETTINGS {
            return Err(fault::farewell(
                ErrorCode::ENHANCE_YOUR_CALM,
                "SETTINGS: too many setting entries",
            ));
        }
        if !self.peer.seen {
            self.peer.max_streams = u32::MAX;
        }
        let mut window = None;
        for entry in payload.chunks_exact(6) {
            let identifier = u16::from_be_bytes([entry[0], entry[1]]);
            let value = frame::u32_at(entry, 2);
            match identifier {
                id::INITIAL_WINDOW_SIZE if value > MAX_31 => return Err(window_too_large()),
                // Only the last one counts: each visits all streams.
                id::INITIAL_WINDOW_SIZE => window = Some(value),
                _ => self.apply_setting(identifier, value)?,
            }
        }
        if let Some(window) = window {
            self.change_initial_window(window)?;
        }
        frame::head(out, kind::SETTINGS, flag::ACK, 0, 0);
        self.outbound.add_control(frame::HEAD);
        if !self.peer.seen {
            self.peer.seen = true;
            if self.role == Role::Server {
                self.send_connection_window(out);
            }
        }
        Ok(Incoming::Settings)
    }

    fn apply_setting(&mut self, identifier: u16, value: u32) -> Result<(), Failure> {
        let from_server = self.role == Role::Client;
        match identifier {
            id::HEADER_TABLE_SIZE => self.encoder.set_peer_limit(value),
            id::ENABLE_PUSH if value > 1 || (from_server && value == 1) => {
                return Err(protocol("SETTINGS: invalid SETTINGS_ENABLE_PUSH"));
            }
            id::MAX_CONCURRENT_STREAMS => self.peer.max_streams = value,
            // What we send is never larger than every peer takes.
            id::MAX_FRAME_SIZE if !(MAX_PAYLOAD as u32..1 << 24).contains(&value) => {
                return Err(protocol("SETTINGS: invalid SETTINGS_MAX_FRAME_SIZE"));
            }
            id::ENABLE_CONNECT_PROTOCOL => {
                if value > 1 || (from_server && value == 0 && self.peer.connect_protocol) {
                    return Err(protocol(
                        "SETTINGS: invalid SETTINGS_ENABLE_CONNECT_PROTOCOL",
                    ));
                }
                self.peer.connect_protocol = value == 1;
            }
            id::NO_RFC7540_PRIORITIES => {
                let before = self.peer.no_priorities.replace(value);
                if value > 1 || before.is_some_and(|before| before != value) {
                    return Err(protocol("SETTINGS: invalid SETTINGS_NO_RFC7540_PRIORITIES"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Section 6.9.2: the difference counts for every stream.
    fn change_initial_window(&mut self, value: u32) -> Result<(), Failure> {
        let by = i64::from(value) - i64::from(self.peer.initial_window);
        self.peer.initial_window = value;
        for (key, stream) in self.streams.iter_mut() {
            if stream.send_window.change(by).is_err() {
                return Err(window_too_large());
            }
            if stream.blocked && !stream.queued && stream.send_window.available() > 0 {
                stream.queued = true;
                self.writable.push_back((key, stream.id));
            }
        }
        Ok(())
    }

    pub(super) fn on_window_update(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Incoming, Failure> {
        if payload.len() != 4 {
            return Err(wrong_size("WINDOW_UPDATE: wrong size"));
        }
        self.inbound.window_updates += 1;
        let paid_for = u64::from(self.open)
            + u64::from(self.settings.max_window_updates_per_data_frame)
                * self.inbound.data_frames_sent;
        if self.inbound.window_updates > paid_for.saturating_mul(2).saturating_add(5) {
            self.counts().inbound_window_update_frames_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_WINDOW_UPDATE_frames",
                "Too many WINDOW_UPDATE frames",
            ));
        }
        let more = frame::u32_at(payload, 0) & MAX_31;
        if more == 0 {
            return Err(protocol("WINDOW_UPDATE: window_size_increment == 0"));
        }
        if head.stream == 0 {
            grow(&mut self.send_window, more, None)?;
            return Ok(Incoming::Progress);
        }
        let Some(key) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("WINDOW_UPDATE to idle stream"));
            }
            return Ok(Incoming::Progress);
        };
        if let Some(stream) = self.streams.get_mut(key)
            && !stream.reset
        {
            grow(&mut stream.send_window, more, Some(key))?;
            if stream.blocked && !stream.queued && stream.send_window.available() > 0 {
                stream.queued = true;
                self.writable.push_back((key, stream.id));
            }
        }
        Ok(Incoming::Progress)
    }

    pub(super) fn on_rst_stream(
        &mut self,
        head: Head,
        payload: &[u8],
    ) -> Result<Incoming, Failure> {
        if payload.len() != 4 {
            return Err(wrong_size("RST_STREAM: wrong size"));
        }
        if head.stream == 0 {
            return Err(protocol("RST_STREAM: stream_id == 0"));
        }
        if self.role == Role::Server && !self.resets.take(self.now) {
            return Err(fault::wordless(
                ErrorCode::INTERNAL_ERROR,
                "too many RST_STREAM frames",
            ));
        }
        let Some(key) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(protocol("RST_STREAM: stream in idle"));
            }
            return Ok(Incoming::Progress);
        };
        self.counts().rx_reset += 1;
        match self.streams.get_mut(key) {
            Some(stream) if !stream.reset => stream.reset = true,
            _ => return Ok(Incoming::Progress),
        }
        self.close(key, true, true);
        let code = u64::from(frame::u32_at(payload, 0));
        Ok(Incoming::Stream {
            key,
            event: Event::Reset { code },
        })
    }

    pub(super) fn on_ping(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        let Ok(opaque) = <[u8; 8]>::try_from(payload) else {
            return Err(wrong_size("PING: wrong size"));
        };
        if head.stream != 0 {
            return Err(protocol("PING: stream_id != 0"));
        }
        if head.has(flag::ACK) {
            return Ok(Incoming::Pong {
                opaque: u64::from_be_bytes(opaque),
            });
        }
        frame::head(out, kind::PING, flag::ACK, 0, 8);
        out.append_slice(payload);
        self.outbound.add_control(frame::HEAD + 8);
        Ok(Incoming::Progress)
    }

    /// Priorities are ignored, as they are by Envoy, but counted.
    pub(super) fn on_priority(&mut self, head: Head) -> Result<Incoming, Failure> {
        if head.len != 5 {
            return Err(wrong_size("PRIORITY: wrong size"));
        }
        self.inbound.priorities += 1;
        let per_stream = u64::from(self.settings.max_priority_frames_per_stream);
        if self.inbound.priorities > per_stream * (1 + u64::from(self.open)) {
            self.counts().inbound_priority_frames_flood += 1;
            return Err(fault::flood(
                "codec_error:Too_many_PRIORITY_frames",
                "Too many PRIORITY frames",
            ));
        }
        Ok(Incoming::Progress)
    }

    #[cold]
    pub(super) fn on_goaway(&mut self, head: Head, payload: &[u8]) -> Result<Incoming, Failure> {
        if payload.len() < 8 {
            return Err(wrong_size("GOAWAY: wrong size"));
        }
        if head.stream != 0 {
            return Err(protocol("GOAWAY: stream_id != 0"));
        }
        let last_stream = frame::u32_at(payload, 0) & MAX_31;
        if self
            .goodbye_received
            .is_some_and(|before| last_stream > before.last_stream)
        {
            return Err(protocol("GOAWAY: invalid last_stream_id"));
        }
        let code = frame::u32_at(payload, 4);
        self.goodbye_received = Some(Goodbye { last_stream });
        if self.role == Role::Client {
            self.refuse_above(last_stream);
        }
        Ok(Incoming::GoAway { last_stream, code })
    }

    /// Our streams that the peer will not process end, to be tried elsewhere.
    fn refuse_above(&mut self, last_stream: u32) {
        for (key, stream) in self.streams.iter_mut() {
            if stream.reset || (stream.id != 0 && stream.id <= last_stream) {
                continue;
            }
            if !stream.is_closed() {
                self.open -= 1;
            }
            stream.end();
            self.events.push_back(Incoming::Stream {
                key,
                event: Event::Reset {
                    code: u64::from(ErrorCode::REFUSED_STREAM.0),
                },
            });
        }
    }

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

fn grow(window: &mut SendWindow, by: u32, stream: Option<StreamKey>) -> Result<(), Failure> {
    window.change(i64::from(by)).map_err(|_| {
        let reason = "WINDOW_UPDATE: window size overflow";
        match stream {
            Some(key) => {
                fault::on_stream(key, ErrorCode::FLOW_CONTROL_ERROR, fault::UNKNOWN, reason)
            }
            None => fault::silent(ErrorCode::FLOW_CONTROL_ERROR, reason),
        }
    })
}
