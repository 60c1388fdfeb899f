//! The built-in extensions: a line each.

use nuncio_sdk::Extensions;

/// All built-in extensions.
pub fn builtin() -> Extensions {
    Extensions {
        http_filters: vec![
            &nuncio_filters::http::BUFFER,
            &nuncio_filters::http::CORS,
            &nuncio_filters::http::DYNAMIC_FORWARD_PROXY,
            &nuncio_filters::http::FAULT,
            &nuncio_filters::http::GRPC_HTTP1_BRIDGE,
            &nuncio_filters::http::GRPC_STATS,
            &nuncio_filters::http::GRPC_WEB,
            &nuncio_filters::http::HEADER_MUTATION,
            &nuncio_filters::http::HEALTH_CHECK,
            &nuncio_filters::http::SET_FILTER_STATE,
            &nuncio_filters::http::STATEFUL_SESSION,
            &nuncio_proxy::ROUTER,
        ],
        listener_filters: vec![&nuncio_filters::listener::ORIGINAL_DST],
        network_filters: vec![&nuncio_proxy::HTTP_CONNECTION_MANAGER],
        access_loggers: vec![
            &nuncio_access_log::FILE,
            &nuncio_access_log::STDOUT,
            &nuncio_access_log::STDERR,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_is_found_by_its_types() {
        let extensions = builtin();
        for (category, name, types) in extensions.list() {
            assert!(!types.is_empty(), "{category}/{name}");
            for name_of_type in types {
                let url = format!("type.googleapis.com/{name_of_type}");
                let found = [
                    extensions.http_filter(&url).map(|factory| factory.name()),
                    extensions
                        .listener_filter(&url)
                        .map(|factory| factory.name()),
                    extensions
                        .network_filter(&url)
                        .map(|factory| factory.name()),
                    extensions.access_logger(&url).map(|factory| factory.name()),
                ];
                assert!(found.contains(&Some(name)), "{url}");
            }
        }
    }

    #[test]
    fn extensions_can_be_disabled() {
        let mut extensions = builtin();
        assert!(extensions.disable("envoy.filters.http/envoy.filters.http.fault"));
        assert!(extensions.disable("envoy.access_loggers.file"));
        assert!(!extensions.disable("envoy.filters.http.fault"));
    }
}
