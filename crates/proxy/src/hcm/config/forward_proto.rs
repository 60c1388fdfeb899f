//! The scheme that a port stands for.

use nuncio_config::api::hcm::ForwardProtoConfig;

/// `forward_proto_config`
pub(crate) struct ForwardProto {
    https: Box<[u16]>,
    http: Box<[u16]>,
}

impl ForwardProto {
    pub(in crate::hcm) fn new(config: ForwardProtoConfig) -> ForwardProto {
        let ForwardProtoConfig {
            https_destination_ports,
            http_destination_ports,
        } = config;
        // A number that is no port matches none.
        let ports = |list: Vec<u32>| list.into_iter().flat_map(u16::try_from).collect();
        ForwardProto {
            https: ports(https_destination_ports),
            http: ports(http_destination_ports),
        }
    }

    /// The scheme of requests to this port.
    pub(crate) fn scheme(&self, port: u16) -> Option<&'static [u8]> {
        if self.https.contains(&port) {
            Some(b"https")
        } else if self.http.contains(&port) {
            Some(b"http")
        } else {
            None
        }
    }
}
