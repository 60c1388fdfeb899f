//! For unit tests: a stream around a filter.

use std::rc::Rc;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::api::protobuf::Any;
use nuncio_http::HeaderMap;
use nuncio_net::Address;
use nuncio_sdk::filter::Wishes;
use nuncio_sdk::{
    Action, ClusterId, ClusterNames, ConnectionInfo, DataAction, Extensions, FactoryContext,
    FilterContext, HttpFilter, HttpFilterFactory, LocalInfo, LocalReply, PerFilterConfig, Protocol,
    RouteView, ServerContext, Services, StreamInfo,
};
use nuncio_stats::Store;
use prost::Message;
use tokio::time::Instant;

/// A server without clusters.
fn server() -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions: Extensions::default(),
        local_info: LocalInfo::default(),
        cluster_names: ClusterNames::default(),
        concurrency: 1,
        services: Services::default(),
    })
}

/// A route to somewhere.
struct Route(Vec<PerFilterConfig>);

impl RouteView for Route {
    fn route_name(&self) -> &str {
        ""
    }

    fn virtual_host_name(&self) -> &str {
        ""
    }

    fn cluster_name(&self) -> &str {
        ""
    }

    fn cluster_id(&self) -> Option<ClusterId> {
        None
    }

    fn per_filter_configs(&self) -> &[PerFilterConfig] {
        &self.0
    }
}

/// One filter on one stream, and what the connection manager holds for it.
pub(crate) struct Fixture {
    filter: Box<dyn HttpFilter>,
    pub(crate) server: Arc<ServerContext>,
    pub(crate) info: StreamInfo,
    pub(crate) request: HeaderMap,
    pub(crate) response: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) held: Buffer,
    pub(crate) wishes: Wishes,
}

/// What a call of a filter lets pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// These bytes, those held before included.
    Bytes(Vec<u8>),
    /// Nothing.
    Nothing,
    /// An answer with this status and these details.
    Answer(u16, String),
}

impl Fixture {
    /// A filter of this factory and configuration, on a request with these headers.
    pub(crate) fn new(
        factory: &dyn HttpFilterFactory,
        config: &impl Message,
        request: &[(&str, &str)],
    ) -> Fixture {
        let config = Any {
            type_url: format!("type.googleapis.com/{}", factory.config_types()[0]),
            value: config.encode_to_vec(),
        };
        let server = server();
        let cx = FactoryContext {
            server: &server,
            stat_prefix: "http.test.",
            name: "filter",
        };
        let filter = factory.create(&config, &cx).unwrap().create_filter();
        let address = Rc::new(Address::parse_ip("127.0.0.1", 1).unwrap());
        let now = Instant::now();
        let connection = ConnectionInfo {
            id: 1,
            remote_address: address.clone(),
            direct_remote_address: address.clone(),
            local_address: address,
            local_address_restored: false,
            listener_name: "main".into(),
            filter_chain_name: "".into(),
            listener_metadata: None,
            filter_chain_metadata: None,
            tls: false,
            start: now,
        };
        let mut info = StreamInfo::new(Rc::new(connection), now);
        info.protocol = Some(Protocol::Http11);
        Fixture {
            filter,
            server,
            info,
            request: request.iter().copied().collect(),
            response: HeaderMap::new(),
            trailers: HeaderMap::new(),
            held: Buffer::new(),
            wishes: Wishes::default(),
        }
    }

    /// The request takes a route with these per-route configurations, by filter name, the least specific one first.
    pub(crate) fn set_levels<M: Message>(
        &mut self,
        factory: &dyn HttpFilterFactory,
        levels: &[(&str, M)],
    ) {
        let cx = FactoryContext {
            server: &self.server,
            stat_prefix: "http.test.",
            name: "filter",
        };
        let levels = levels.iter().map(|(filter, config)| {
            let config = Any {
                type_url: format!("type.googleapis.com/{}", factory.route_config_types()[0]),
                value: config.encode_to_vec(),
            };
            PerFilterConfig {
                filter: (*filter).into(),
                disabled: None,
                config: Some(factory.create_route_config(&config, &cx).unwrap()),
            }
        });
        self.info.route = Some(Rc::new(Route(levels.collect())));
    }

    /// The filter's own answer to the request's headers.
    pub(crate) fn answer_to_request(&mut self) -> LocalReply {
        match self.call(|filter, cx| filter.on_request_headers(cx, true)) {
            Action::Respond(reply) => reply,
            _ => panic!("the filter does not answer"),
        }
    }

    fn call<R>(
        &mut self,
        call: impl FnOnce(&mut dyn HttpFilter, &mut FilterContext<'_>) -> R,
    ) -> R {
        let mut none = HeaderMap::new();
        let mut cx = FilterContext {
            info: &mut self.info,
            request_headers: &mut self.request,
            request_trailers: &mut none,
            response_headers: &mut self.response,
            response_trailers: &mut self.trailers,
            held: &mut self.held,
            filter_name: "filter",
            wishes: &mut self.wishes,
        };
        call(&mut *self.filter, &mut cx)
    }

    fn passed(&mut self, action: DataAction, data: Buffer) -> Passed {
        let mut held = std::mem::take(&mut self.held);
        match action {
            DataAction::Continue => {
                held.append_slice(&data);
                Passed::Bytes(held.to_vec())
            }
            DataAction::StopAndBuffer | DataAction::StopAndWatermark => {
                held.append_slice(&data);
                self.held = held;
                Passed::Nothing
            }
            DataAction::Respond(reply) => Passed::Answer(reply.status, reply.details.into_owned()),
            DataAction::Await(_) | DataAction::Pace { .. } => panic!("the filter waits"),
        }
    }

    /// The request's headers; whether they pass.
    pub(crate) fn request_headers(&mut self, end: bool) -> bool {
        let action = self.call(|filter, cx| filter.on_request_headers(cx, end));
        matches!(action, Action::Continue)
    }

    /// A piece of the request.
    pub(crate) fn request_data(&mut self, data: &[u8], end: bool) -> Passed {
        let mut data = Buffer::from(data);
        let action = self.call(|filter, cx| filter.on_request_data(cx, &mut data, end));
        self.passed(action, data)
    }

    /// The response's headers; whether they pass.
    pub(crate) fn response_headers(&mut self, headers: &[(&str, &str)], end: bool) -> bool {
        self.response = headers.iter().copied().collect();
        let action = self.call(|filter, cx| filter.on_response_headers(cx, end));
        matches!(action, Action::Continue)
    }

    /// A piece of the response.
    pub(crate) fn response_data(&mut self, data: &[u8], end: bool) -> Passed {
        let mut data = Buffer::from(data);
        let action = self.call(|filter, cx| filter.on_response_data(cx, &mut data, end));
        self.passed(action, data)
    }

    /// The response's trailers; returns the body that passes with them.
    pub(crate) fn response_trailers(&mut self, trailers: &[(&str, &str)]) -> Vec<u8> {
        self.trailers = trailers.iter().copied().collect();
        let action = self.call(|filter, cx| filter.on_response_trailers(cx));
        assert!(matches!(action, Action::Continue));
        std::mem::take(&mut self.held).to_vec()
    }
}
