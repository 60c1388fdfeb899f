//! `/runtime`: the layers of the bootstrap. They have no values yet (the configuration refuses them).

use nuncio_config::api::bootstrap::LayeredRuntime;
use nuncio_config::api::bootstrap::runtime_layer::LayerSpecifier;
use nuncio_config::json::quoted;
use prost::Message;

use crate::request::Request;
use crate::response::Response;
use crate::thread::Admin;

/// `/runtime`
pub(crate) fn runtime(admin: &Admin, _: &Request) -> Response {
    let mut out = String::from("{\n \"entries\": {},\n \"layers\": [");
    let layers = layers(admin);
    for (index, layer) in layers.layers.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.push_str(&format!("{comma}\n  {}", quoted(&layer.name)));
    }
    out.push_str(if layers.layers.is_empty() {
        "]\n}\n"
    } else {
        "\n ]\n}\n"
    });
    Response::json(out)
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
    let layers = layers(admin).layers;
    let is_admin =
        |layer: Option<LayerSpecifier>| matches!(layer, Some(LayerSpecifier::AdminLayer(_)));
    if layers
        .into_iter()
        .any(|layer| is_admin(layer.layer_specifier))
    {
        // Taking a value that nothing reads would be a lie.
        return Response::error(501, "runtime values are not supported yet");
    }
    Response::error(503, "No admin layer specified")
}

/// What is wanted of an `envoy.config.bootstrap.v3.Bootstrap`; the rest may be large.
#[derive(Clone, PartialEq, Message)]
struct WithRuntime {
    #[prost(message, optional, tag = "17")]
    layered_runtime: Option<LayeredRuntime>,
}

fn layers(admin: &Admin) -> LayeredRuntime {
    let bootstrap = WithRuntime::decode(&*admin.context.bootstrap).unwrap_or_default();
    bootstrap.layered_runtime.unwrap_or_default()
}
