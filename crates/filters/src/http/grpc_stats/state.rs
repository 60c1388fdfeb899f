//! `emit_filter_state`: `%FILTER_STATE(envoy.filters.http.grpc_stats)%` (`grpc_stats.v3.FilterObject`).

use std::cell::Cell;

use nuncio_sdk::FilterStateObject;

/// How many messages have been seen of a call.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) requests: Cell<u64>,
    pub(super) responses: Cell<u64>,
}

impl FilterStateObject for Seen {
    fn text(&self) -> Option<String> {
        Some(format!("{},{}", self.requests.get(), self.responses.get()))
    }

    fn json(&self, proto_names: bool) -> Option<String> {
        let names = match proto_names {
            true => ["request_message_count", "response_message_count"],
            false => ["requestMessageCount", "responseMessageCount"],
        };
        let counts = [self.requests.get(), self.responses.get()];
        // Proto JSON has numbers of 64 bits as text, and leaves out zeros.
        let fields = names.iter().zip(counts).filter(|(_, count)| *count > 0);
        let fields: Vec<_> = fields
            .map(|(name, count)| format!("\"{name}\":\"{count}\""))
            .collect();
        Some(format!("{{{}}}", fields.join(",")))
    }
}
