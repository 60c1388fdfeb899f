//! `envoy.filters.http.buffer`: holds a request until it is complete, so that the upstream never waits for its body.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::api::buffer::buffer_per_route::Override;
use nuncio_config::api::buffer::{self as proto, BufferPerRoute};
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, Within, any};
use nuncio_http::Known;
use nuncio_sdk::{
    Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, RouteConfig,
};

/// The filter's factory.
pub static BUFFER: BufferFactory = BufferFactory;

/// Makes buffer filters.
pub struct BufferFactory;

/// How much of a request is held, or that none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settings {
    /// `max_request_bytes`: over it the request is answered with 413.
    Limit(u32),
    /// Switched off on this route.
    Disabled,
}

impl HttpFilterFactory for BufferFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.buffer"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.buffer.v3.Buffer"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.buffer.v3.BufferPerRoute"]
    }

    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        Ok(Arc::new(Config(limit(&any::unpack(config)?)?)))
    }

    fn create_route_config(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let config: BufferPerRoute = any::unpack(config)?;
        let settings = match &config.r#override {
            Some(Override::Buffer(buffer)) => limit(buffer).within("buffer")?,
            Some(Override::Disabled(true)) => Settings::Disabled,
            Some(Override::Disabled(false)) => {
                return Err(ConfigError::new("disabled", "value must equal true"));
            }
            None => {
                return Err(ConfigError::new(
                    "override",
                    "is required: disabled or buffer",
                ));
            }
        };
        Ok(Arc::new(settings))
    }
}

fn limit(config: &proto::Buffer) -> Result<Settings, ConfigError> {
    match &config.max_request_bytes {
        Some(max) if max.value > 0 => Ok(Settings::Limit(max.value)),
        Some(_) => Err(ConfigError::new(
            "max_request_bytes",
            "value must be greater than 0",
        )),
        None => Err(ConfigError::new("max_request_bytes", "value is required")),
    }
}

struct Config(Settings);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            settings: self.0,
            bytes: 0,
        })
    }
}

struct Filter {
    settings: Settings,
    bytes: u64,
}

impl Filter {
    /// The length is known now: the upstream need not decode chunks.
    fn complete(&self, cx: &mut FilterContext<'_>) {
        if !cx.request_headers.contains(Known::ContentLength) {
            cx.request_headers
                .set_number(Known::ContentLength, self.bytes);
        }
    }
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        if let Some(settings) = cx.route_config::<Settings>() {
            self.settings = *settings;
        }
        match self.settings {
            Settings::Limit(limit) if !end_stream => {
                cx.wishes.buffer_limit = Some(limit);
                Action::StopAndBuffer
            }
            Settings::Limit(_) | Settings::Disabled => Action::Continue,
        }
    }

    fn on_request_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        if self.settings == Settings::Disabled {
            return DataAction::Continue;
        }
        self.bytes += data.len() as u64;
        if !end_stream {
            return DataAction::StopAndBuffer;
        }
        self.complete(cx);
        DataAction::Continue
    }

    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if self.settings != Settings::Disabled {
            self.complete(cx);
        }
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}
