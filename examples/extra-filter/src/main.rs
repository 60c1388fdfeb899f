//! A proxy with one HTTP filter more than Nuncio has: it adds a header to every response.
//!
//!     cargo run -p nuncio-example-extra-filter -- examples/extra-filter/greeting.yaml
//!     curl -si http://127.0.0.1:10000/

use std::{process::ExitCode, sync::Arc};

use nuncio_config::api::protobuf::{Any, value::Kind};
use nuncio_config::{ConfigError, any};
use nuncio_sdk::*;
use nuncio_server::{Options, builtin, run_with};

/// Found by the type of its configuration.
struct Greeting;
impl HttpFilterFactory for Greeting {
    fn name(&self) -> &'static str {
        "example.greeting"
    }
    fn config_types(&self) -> &'static [&'static str] {
        &["example.Greeting"]
    }
    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let mut fields = any::unpack_struct(config)?.fields;
        match fields.remove("text").and_then(|text| text.kind) {
            Some(Kind::StringValue(text)) => Ok(Arc::new(Text(text.into()))),
            _ => Err(ConfigError::new("text", "is required, and is a string")),
        }
    }
}

/// One filter of a chain as it is configured, shared by all workers.
struct Text(Arc<str>);
impl HttpFilterConfig for Text {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Text(self.0.clone()))
    }
}

impl HttpFilter for Text {
    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _end_stream: bool) -> Action {
        cx.response_headers.append("x-greeting", self.0.as_bytes());
        Action::Continue
    }
}

fn main() -> ExitCode {
    let config_path = std::env::args_os().nth(1).map(Into::into);
    let mut extensions = builtin();
    extensions.http_filters.push(&Greeting);
    let options = Options {
        config_path,
        ..Default::default()
    };
    run_with(options, extensions)
}
