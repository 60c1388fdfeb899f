//! `envoy.filters.http.stateful_session`: a client meets the host again that it met first, as a cookie or a header of its
//! requests tells. Nothing is remembered here.

mod state;

use std::sync::Arc;

use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::stateful_session::stateful_session_per_route::Override;
use nuncio_config::api::stateful_session::{StatefulSession, StatefulSessionPerRoute};
use nuncio_config::{ConfigError, Within, any};
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    RouteConfig, UpstreamOverrideHost,
};
use nuncio_stats::{Group, stats_schema};

use state::{Session, SessionState};

/// The filter's factory.
pub static STATEFUL_SESSION: StatefulSessionFactory = StatefulSessionFactory;

/// Makes stateful-session filters.
pub struct StatefulSessionFactory;

stats_schema! {
    /// `stateful_session.<stat_prefix>.*`, below the connection manager's prefix unless configured per route.
    Stats {
        counters {
            failed_closed,
            failed_open,
            no_session,
            routed,
        }
    }
}

/// `StatefulSession`; `None` where a route switches it off.
type Shared = Option<Arc<Settings>>;

struct Settings {
    /// Without one the filter does nothing.
    state: Option<SessionState>,
    /// Only the session's host will do.
    strict: bool,
    /// The status instead of 503 when it is not there.
    status: Option<u16>,
    stats: Option<Arc<Group>>,
}

impl HttpFilterFactory for StatefulSessionFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.stateful_session"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.stateful_session.v3.StatefulSession"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let settings = Settings::new(any::unpack(config)?, cx.stat_prefix, cx)?;
        Ok(Arc::new(Config(Some(Arc::new(settings)))))
    }

    fn create_route_config(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let StatefulSessionPerRoute { r#override } = any::unpack(config)?;
        let shared: Shared = match r#override {
            Some(Override::Disabled(true)) => None,
            Some(Override::Disabled(false)) => {
                return Err(ConfigError::new("disabled", "value must equal true"));
            }
            Some(Override::StatefulSession(session)) => Some(Arc::new(
                // As in Envoy, without the connection manager's prefix.
                Settings::new(session, "", cx).within("stateful_session")?,
            )),
            None => {
                return Err(ConfigError::new(
                    "override",
                    "is required: disabled or stateful_session",
                ));
            }
        };
        Ok(Arc::new(shared))
    }
}

impl Settings {
    fn new(
        config: StatefulSession,
        prefix: &str,
        cx: &FactoryContext<'_>,
    ) -> Result<Settings, ConfigError> {
        let StatefulSession {
            session_state,
            strict,
            stat_prefix,
            status_on_strict_destination_not_found: status,
        } = config;
        let state = match session_state {
            None => None,
            Some(TypedExtensionConfig { name, typed_config }) => {
                let config = typed_config.ok_or_else(|| {
                    ConfigError::new("session_state.typed_config", "value is required")
                })?;
                let state =
                    SessionState::from_config(&config).within("session_state.typed_config")?;
                // Here the name counts in Envoy, not the type.
                if name != state.extension() {
                    let message =
                        format!("Didn't find a registered implementation for name: '{name}'");
                    let error = ConfigError::new("session_state.name", message);
                    return Err(error.with_remedy(format!("call it {}", state.extension())));
                }
                Some(state)
            }
        };
        if status != 0 && !(100..1000).contains(&status) {
            return Err(ConfigError::new(
                "status_on_strict_destination_not_found",
                "value must be a number of three digits",
            ));
        }
        let stats = (!stat_prefix.is_empty()).then(|| {
            let prefix = format!("{prefix}stateful_session.{stat_prefix}");
            cx.server.stats.group(prefix, Stats::SCHEMA)
        });
        Ok(Settings {
            state,
            strict,
            status: u16::try_from(status).ok().filter(|status| *status != 0),
            stats,
        })
    }
}

struct Config(Shared);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            settings: self.0.clone(),
            session: None,
        })
    }
}

struct Filter {
    settings: Shared,
    /// `None` when the state is not for this request's path.
    session: Option<Session>,
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        if let Some(of_route) = cx.route_config::<Shared>() {
            self.settings = of_route.clone();
        }
        let Some(settings) = &self.settings else {
            return Action::Continue;
        };
        let Some(state) = &settings.state else {
            self.settings = None;
            return Action::Continue;
        };
        self.session = state.begin(cx.request_headers);
        let wanted = self.session.as_ref().and_then(|session| session.address());
        if let Some(address) = wanted {
            cx.info.upstream_override_host = Some(Box::new(UpstreamOverrideHost {
                address: address.into(),
                strict: settings.strict,
                status: settings.status,
            }));
        }
        Action::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let Some(settings) = &self.settings else {
            return Action::Continue;
        };
        let count = |slot| {
            if let Some(stats) = &settings.stats {
                stats.inc(slot);
            }
        };
        let host = cx
            .info
            .upstream
            .host
            .as_ref()
            .map(|host| host.address().to_string());
        match (host, &self.session, &settings.state) {
            (Some(host), Some(session), Some(state)) => {
                let is_other = session.address() != Some(&*host);
                state.end(&host, is_other, cx.response_headers);
                if !is_other {
                    count(Stats::ROUTED);
                } else if !settings.strict {
                    count(Stats::FAILED_OPEN);
                }
            }
            (Some(_), None, _) => count(Stats::NO_SESSION),
            (None, Some(session), _) if settings.strict && session.address().is_some() => {
                count(Stats::FAILED_CLOSED);
            }
            _ => {}
        }
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}
