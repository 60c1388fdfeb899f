//! `envoy.filters.listener.original_dst`: a connection that was redirected here (iptables `REDIRECT`, `TPROXY`) gets the address
//! back to which it was going.

use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Any;
use nuncio_sdk::FactoryContext;
use nuncio_sdk::listener::{
    AcceptedConnection, Inspection, ListenerFilter, ListenerFilterFactory, ListenerVerdict,
};

/// The filter's factory.
pub static ORIGINAL_DST: OriginalDstFactory = OriginalDstFactory;

/// Makes original-destination filters.
pub struct OriginalDstFactory;

impl ListenerFilterFactory for OriginalDstFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.listener.original_dst"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.listener.original_dst.v3.OriginalDst"]
    }

    fn create(
        &self,
        _: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn ListenerFilter>, ConfigError> {
        Ok(Arc::new(OriginalDst))
    }
}

struct OriginalDst;

impl ListenerFilter for OriginalDst {
    fn inspect<'a>(&'a self, connection: &'a mut AcceptedConnection) -> Inspection<'a> {
        let AcceptedConnection {
            stream,
            local_address,
            local_address_restored,
            ..
        } = connection;
        // A transparent socket (TPROXY) has the original address as its own.
        let original = stream
            .original_address()
            .map(Rc::new)
            .or_else(|| stream.is_transparent().then(|| local_address.clone()));
        if let Some(original) = original {
            log::trace!("original_dst: {local_address} was {original}");
            *local_address = original;
            *local_address_restored = true;
        }
        Box::pin(ready(ListenerVerdict::Continue))
    }
}
