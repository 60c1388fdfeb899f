//! `envoy.filters.http.cors`: answers preflight requests of browsers, and tells them which pages may read responses
//! (the Fetch standard, «CORS protocol»).

mod policy;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::route::RouteView;
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    LocalReply, RouteConfig,
};
use nuncio_stats::{Group, stats_schema};

use policy::{Policies, Policy};

/// The filter's factory.
pub static CORS: CorsFactory = CorsFactory;

/// Makes CORS filters.
pub struct CorsFactory;

stats_schema! {
    /// `http.<stat_prefix>.cors.`
    CorsStats {
        counters { origin_invalid, origin_valid }
        gauges {}
        histograms {}
    }
}

impl HttpFilterFactory for CorsFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.cors"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.cors.v3.Cors"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.cors.v3.CorsPolicy"]
    }

    fn create(
        &self,
        _: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let stats = &cx.server.stats;
        Ok(Arc::new(Config(stats.group(
            format!("{}cors.", cx.stat_prefix),
            CorsStats::SCHEMA,
        ))))
    }

    fn create_route_config(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let policy = Policy::new(&any::unpack(config)?, &cx.server.runtime())?;
        Ok(Arc::new(policy))
    }
}

struct Config(Arc<Group>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            stats: self.0.clone(),
            reader: None,
        })
    }
}

/// A page that may read the response.
struct Reader {
    origin: Box<[u8]>,
    /// Whose policies apply, whatever becomes of the request's route.
    route: Rc<dyn RouteView>,
}

struct Filter {
    stats: Arc<Group>,
    reader: Option<Reader>,
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let headers = &*cx.request_headers;
        let Some(origin) = headers
            .get(Known::Origin)
            .filter(|origin| !origin.is_empty())
        else {
            return Action::Continue;
        };
        let Some(route) = cx.info.route.clone().filter(|route| route.is_forwarding()) else {
            return Action::Continue;
        };
        let policies = Policies::of(&*route, cx.filter_name);
        let enabled = policies.enabled();
        if !enabled && !policies.shadow_enabled() {
            return Action::Continue;
        }
        let allowed = policies.allow(origin);
        self.stats.inc(match allowed {
            true => CorsStats::ORIGIN_VALID,
            false => CorsStats::ORIGIN_INVALID,
        });
        if !enabled {
            return Action::Continue;
        }
        let action = match is_preflight(headers) && (allowed || !policies.forward_not_matching()) {
            true => Action::Respond(answer(headers, allowed.then_some(origin), &policies)),
            false => Action::Continue,
        };
        if allowed {
            self.reader = Some(Reader {
                origin: origin.into(),
                route: route.clone(),
            });
        }
        action
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let Some(reader) = &self.reader else {
            return Action::Continue;
        };
        let policies = Policies::of(&*reader.route, cx.filter_name);
        let headers = &mut *cx.response_headers;
        headers.set(Known::AccessControlAllowOrigin, &reader.origin);
        if policies.allow_credentials() {
            headers.set(Known::AccessControlAllowCredentials, b"true");
        }
        if let Some(exposed) = policies.expose_headers() {
            headers.set(Known::AccessControlExposeHeaders, exposed);
        }
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}

/// Whether a browser asks what it may do.
fn is_preflight(headers: &HeaderMap) -> bool {
    headers.method() == Some(b"OPTIONS")
        && headers
            .get(Known::AccessControlRequestMethod)
            .is_some_and(|method| !method.is_empty())
}

/// The answer to a preflight request; `origin` only if it is allowed.
fn answer(headers: &HeaderMap, origin: Option<&[u8]>, policies: &Policies<'_>) -> LocalReply {
    const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
    let asked = |name: Known| headers.get(name).unwrap_or_default();
    // A wildcard allows what is asked for.
    let listed_or = |listed: &[u8], asked: &[u8]| match listed {
        b"*" => asked.to_vec(),
        listed => listed.to_vec(),
    };
    let mut reply = LocalReply::new(200, "", "cors_response").plain();
    if let Some(origin) = origin {
        reply = reply.raw_header("access-control-allow-origin", origin.to_vec());
    }
    if policies.allow_credentials() {
        reply = reply.header("access-control-allow-credentials", "true");
    }
    if let Some(methods) = policies.allow_methods() {
        let methods = listed_or(methods, asked(Known::AccessControlRequestMethod));
        reply = reply.raw_header("access-control-allow-methods", methods);
    }
    if let Some(listed) = policies.allow_headers() {
        let listed = listed_or(listed, asked(Known::AccessControlRequestHeaders));
        reply = reply.raw_header("access-control-allow-headers", listed);
    }
    if let Some(age) = policies.max_age() {
        reply = reply.raw_header("access-control-max-age", age.to_vec());
    }
    if policies.allow_private_network() && headers.get_str(REQUEST_PRIVATE_NETWORK) == Some(b"true")
    {
        reply = reply.header("access-control-allow-private-network", "true");
    }
    reply
}
