//! SETTINGS, both ways (section 6.5).

use nuncio_buffer::Buffer;

use super::Connection;
use super::control::{protocol, wrong_size};
use crate::h2::fault::{self, Failure};
use crate::h2::frame::{self, Head, MAX_31, MAX_PAYLOAD, flag, kind};
use crate::h2::{ErrorCode, Incoming, Role};

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

fn window_too_large() -> Failure {
    fault::silent(
        ErrorCode::FLOW_CONTROL_ERROR,
        "SETTINGS: too large SETTINGS_INITIAL_WINDOW_SIZE",
    )
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
}
