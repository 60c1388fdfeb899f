//! `/listeners`

use nuncio_config::api::admin::ListenerStatus;
use nuncio_config::json;

use crate::handlers::proto_address;
use crate::json::{PRETTY, write_list};
use crate::request::Request;
use crate::response::{JSON, Response, TEXT};
use crate::thread::Admin;

/// `/listeners`: names and addresses; as text unless `format=json`.
pub(crate) fn listeners(admin: &Admin, request: &Request) -> Response {
    let snapshot = admin.context.listeners.snapshot();
    if request.params.get("format") == Some("json") {
        return Response::stream(JSON, move |out| {
            let items = snapshot.listeners.iter().map(|listener| {
                let mut addresses = listener.addresses.iter().map(proto_address);
                let status = ListenerStatus {
                    name: listener.name.to_string(),
                    local_address: addresses.next(),
                    additional_local_addresses: addresses.collect(),
                };
                json::print_message(&status, PRETTY)
            });
            write_list(out, "listener_statuses", items)
        });
    }
    Response::stream(TEXT, move |out| {
        snapshot.listeners.iter().try_for_each(|listener| {
            listener
                .addresses
                .iter()
                .try_for_each(|address| writeln!(out, "{}::{address}", listener.name))
        })
    })
}
