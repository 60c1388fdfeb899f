//! A cluster of the bootstrap, beside its bytes.

use bytes::Bytes;

use crate::{api::cluster::Cluster, encode_cluster};

/// One of `static_resources.clusters`.
#[derive(Clone, Debug)]
pub struct StaticCluster {
    /// The index in `static_resources.clusters`.
    pub index: usize,
    /// By [`decode_cluster`](crate::decode_cluster).
    pub cluster: Cluster,
    /// The same in wire format; a part of [`LoadedBootstrap::raw`](crate::LoadedBootstrap::raw), so that whoever keeps
    /// it keeps no second copy.
    pub wire: Bytes,
}

/// One that was made and not read.
impl From<(usize, Cluster)> for StaticCluster {
    fn from((index, cluster): (usize, Cluster)) -> Self {
        Self {
            index,
            wire: encode_cluster(&cluster).into(),
            cluster,
        }
    }
}
