//! `/runtime`: the layers of the bootstrap and their values, and `/runtime_modify`, which overrides them.

use nuncio_config::json::quoted;

use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// `/runtime`
pub(crate) fn runtime(admin: &Admin, _: &Request) -> Response {
    let snapshot = admin.context.server.runtime().snapshot();
    let list = |texts: &mut dyn Iterator<Item = &str>, indent: &str| {
        let lines: Vec<_> = texts
            .map(|text| format!("\n{indent} {}", quoted(text)))
            .collect();
        match lines.is_empty() {
            true => "[]".to_owned(),
            false => format!("[{}\n{indent}]", lines.join(",")),
        }
    };
    let entries: Vec<_> = snapshot
        .entries()
        .map(|(key, values)| {
            // As Envoy has it, an empty text sets nothing.
            let last = values.iter().rfind(|value| !value.is_empty());
            format!(
                "\n  {}: {{\n   \"final_value\": {},\n   \"layer_values\": {}\n  }}",
                quoted(key),
                quoted(last.unwrap_or(&"")),
                list(&mut values.iter().copied(), "   "),
            )
        })
        .collect();
    let entries = match entries.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{{}\n }}", entries.join(",")),
    };
    let layers = list(&mut snapshot.layers(), " ");
    Response::json(format!(
        "{{\n \"entries\": {entries},\n \"layers\": {layers}\n}}\n"
    ))
}

/// `/runtime_modify`
pub(crate) fn modify(admin: &Admin, request: &Request) -> Response {
    if request.params.is_empty() {
        return Response::error(
            400,
            "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       \
             or send the parameters as form values\n\
             use an empty value to remove a previously added override",
        );
    }
    match admin.context.server.runtime().modify(request.params.iter()) {
        Ok(()) => Response::text("OK\n"),
        Err(error) => Response::error(503, error),
    }
}
