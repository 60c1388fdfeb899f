//! A connection manager without `http_filters`, which Envoy takes: nothing answers its requests until they time out.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_sdk::{Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig};

use super::chain::{FilterChain, FilterEntry};
use crate::router::RouterConfig;

/// The chain of such a connection manager.
pub(super) fn chain(cx: &FactoryContext<'_>) -> FilterChain {
    log::warn!(
        target: "config",
        "a connection manager without http_filters answers no request; envoy.filters.http.router is missing"
    );
    FilterChain {
        filters: vec![FilterEntry {
            name: "".into(),
            disabled: false,
            config: Arc::new(Silence),
        }],
        router: Arc::new(RouterConfig::new(&Default::default(), cx)),
    }
}

/// Takes requests, and that is all.
struct Silence;

impl HttpFilterConfig for Silence {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Silence)
    }
}

impl HttpFilter for Silence {
    fn on_request_headers(&mut self, _: &mut FilterContext<'_>, _: bool) -> Action {
        Action::StopAndWatermark
    }

    fn on_request_data(
        &mut self,
        _: &mut FilterContext<'_>,
        data: &mut Buffer,
        _: bool,
    ) -> DataAction {
        data.clear();
        DataAction::StopAndWatermark
    }

    fn on_request_trailers(&mut self, _: &mut FilterContext<'_>) -> Action {
        Action::StopAndWatermark
    }
}
