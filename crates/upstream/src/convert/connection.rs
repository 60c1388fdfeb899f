//! How connections are made, and when.

use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::cluster::UpstreamConnectionOptions;
use nuncio_config::api::cluster::cluster::PreconnectPolicy;
use nuncio_config::api::cluster::upstream_connection_options::{
    FirstAddressFamilyVersion, HappyEyeballsConfig,
};
use nuncio_config::api::core::{
    BindConfig, TcpKeepalive, TransportSocket, transport_socket::ConfigType,
};
use nuncio_config::api::protobuf::{DoubleValue, Value, value::Kind};
use nuncio_config::api::raw_buffer::RawBuffer;
use nuncio_config::{ConfigError, any, convert::u32_or};
use nuncio_net::{ConnectOptions, Keepalive};
use nuncio_sdk::metadata::DynamicMetadata;

use super::Errors;
use super::SharedParts;
use super::bind::bind_config;
use crate::info::{FamilyOrder, PoolOptions};

/// How connections are made.
pub(super) struct Connecting {
    pub(super) connect: Arc<ConnectOptions>,
    pub(super) families: FamilyOrder,
}

/// `upstream_bind_config` and `upstream_connection_options` of the cluster `name`.
pub(super) fn options(
    name: &str,
    bind: Option<BindConfig>,
    connection: Option<UpstreamConnectionOptions>,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Connecting {
    let bootstrap = parts.bind.get();
    let mut families = FamilyOrder::default();
    let mut options = match bind {
        Some(bind) => errors.nested("upstream_bind_config", |errors| {
            bind_config(&format!("Cluster {name}"), bind, bootstrap, errors)
        }),
        None => bootstrap
            .map(|it| (*it.options).clone())
            .unwrap_or_default(),
    };
    if let Some(connection) = connection {
        let UpstreamConnectionOptions {
            tcp_keepalive,
            // Harmless: nothing here shows an interface's name.
            set_local_interface_name_on_upstream_connections: _,
            happy_eyeballs_config,
        } = connection;
        options.keepalive = tcp_keepalive.map(keepalive);
        if let Some(HappyEyeballsConfig {
            first_address_family_version,
            first_address_family_count,
        }) = happy_eyeballs_config
        {
            families.first_is_v6 =
                match FirstAddressFamilyVersion::try_from(first_address_family_version) {
                    Ok(FirstAddressFamilyVersion::V4) => Some(false),
                    Ok(FirstAddressFamilyVersion::V6) => Some(true),
                    // What is no IP version counts as none, as in Envoy.
                    _ => None,
                };
            families.first_count = u32_or(first_address_family_count.as_ref(), 1);
        }
    }
    let connect = [&parts.connect]
        .into_iter()
        .chain(bootstrap.map(|it| &it.options))
        .find(|shared| ***shared == options)
        .cloned();
    Connecting {
        connect: connect.unwrap_or_else(|| Arc::new(options)),
        families,
    }
}

/// `preconnect_policy`
pub(super) fn preconnect(message: PreconnectPolicy, pools: &mut PoolOptions, errors: &mut Errors) {
    let PreconnectPolicy {
        per_upstream_preconnect_ratio,
        predictive_preconnect_ratio,
        preconnect_enabled_metadata,
    } = message;
    errors.refuse_if(
        preconnect_enabled_metadata.is_some(),
        "preconnect_enabled_metadata",
    );
    // The rules of the message allow 1 to 3.
    let ratio = |value: Option<DoubleValue>| value.map_or(1.0, |it| it.value as f32);
    pools.preconnect = ratio(per_upstream_preconnect_ratio);
    pools.predictive_preconnect = ratio(predictive_preconnect_ratio);
}

/// Our own option, under `metadata`: Envoy's messages have no place for it, and Envoy does not mind it there.
pub(super) fn take_over(metadata: Option<&DynamicMetadata>, errors: &mut Errors) -> bool {
    const NAMESPACE: &str = "nuncio";
    const OPTION: &str = "take_over_idle_connections";
    match metadata.and_then(|it| it.get(NAMESPACE, [OPTION])) {
        None => false,
        Some(Value {
            kind: Some(Kind::BoolValue(on)),
        }) => *on,
        Some(_) => {
            let path = format!("metadata.filter_metadata[{NAMESPACE:?}].{OPTION}");
            errors.push(ConfigError::new(path, "must be true or false"));
            false
        }
    }
}

fn keepalive(message: TcpKeepalive) -> Keepalive {
    let TcpKeepalive {
        keepalive_probes,
        keepalive_time,
        keepalive_interval,
    } = message;
    // Zero leaves a value to the system, as in Envoy.
    let positive = |value: Option<_>| Some(u32_or(value.as_ref(), 0)).filter(|v| *v > 0);
    let seconds = |value: u32| Duration::from_secs(value.into());
    Keepalive {
        probes: positive(keepalive_probes),
        time: positive(keepalive_time).map(seconds),
        interval: positive(keepalive_interval).map(seconds),
    }
}

/// `transport_socket`: plain text is the only one so far.
pub(super) fn transport_socket(message: Option<TransportSocket>, errors: &mut Errors) {
    let Some(TransportSocket { name, config_type }) = message else {
        return;
    };
    let known = match config_type {
        Some(ConfigType::TypedConfig(config)) => any::unpack::<RawBuffer>(&config).is_ok(),
        None => matches!(
            name.as_str(),
            "envoy.transport_sockets.raw_buffer" | "raw_buffer"
        ),
    };
    if !known {
        errors.refuse_value("transport_socket", &name);
    }
}
