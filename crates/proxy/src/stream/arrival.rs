//! What is decided when a request's headers have arrived, before any filter sees them.

use nuncio_http::Known;
use nuncio_sdk::{LocalReply, Protocol};

use super::{ChainRef, Stream};
use crate::hcm::config::HcmConfig;
use crate::hcm::path::PathVerdict;
use crate::hcm::request;
use crate::hcm::stats::HttpStats;

impl Stream {
    /// Checks that come before any filter, in Envoy's order, and the headers that the connection manager sets.
    pub(super) fn check_and_prepare(&mut self, config: &HcmConfig) -> Result<(), LocalReply> {
        if !config.proxy_100_continue
            && self
                .request
                .headers
                .get(Known::Expect)
                .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"))
        {
            self.out.send_continue = true;
            self.request.headers.remove(Known::Expect);
            self.info.response_code = Some(100);
            self.charge_response(100);
        }
        let headers = &mut self.request.headers;
        if self.info.protocol == Some(Protocol::Http10) {
            if !config.h1.accept_http_10 {
                return Err(LocalReply::new(426, "", "low_version"));
            }
            if headers.authority().is_none_or(<[u8]>::is_empty)
                && !config.h1.default_host_for_http_10.is_empty()
            {
                headers.set(
                    Known::Authority,
                    config.h1.default_host_for_http_10.as_bytes(),
                );
            }
        }
        if headers.authority().is_none() {
            return Err(LocalReply::new(400, "", "missing_host_header"));
        }
        if headers.method() == Some(b"QUERY")
            && headers.get(Known::ContentType).is_none_or(<[u8]>::is_empty)
        {
            return Err(LocalReply::new(400, "", "query_missing_content_type"));
        }
        match headers.path() {
            None | Some(b"") if !self.is_connect => {
                return Err(LocalReply::new(404, "", "missing_path_rejected"));
            }
            Some(path) if !path.is_empty() && path[0] != b'/' => {
                self.hcm
                    .stats
                    .inc(HttpStats::DOWNSTREAM_RQ_NON_RELATIVE_PATH);
                return Err(LocalReply::new(404, "", "absolute_path_rejected"));
            }
            _ => {}
        }
        match config.path.apply_to_path(headers) {
            PathVerdict::Continue => {}
            PathVerdict::Redirect if !self.is_grpc => {
                self.hcm
                    .stats
                    .inc(HttpStats::DOWNSTREAM_RQ_REDIRECTED_WITH_NORMALIZED_PATH);
                let path = String::from_utf8_lossy(headers.path().unwrap_or_default()).into_owned();
                return Err(
                    LocalReply::new(307, "", "path_normalization_failed").header("location", path)
                );
            }
            PathVerdict::Reject | PathVerdict::Redirect => {
                self.hcm
                    .stats
                    .inc(HttpStats::DOWNSTREAM_RQ_FAILED_PATH_NORMALIZATION);
                return Err(LocalReply::new(400, "", "path_normalization_failed"));
            }
        }
        config
            .path
            .apply_to_host(headers, self.info.connection.local_address.port());
        // What was prepared once stays as it is, whatever the router has made of it.
        let redirected = self.router.special.as_ref();
        if !redirected.is_some_and(|special| special.is_redirected()) {
            request::prepare(headers, &mut self.info, config, &self.hcm.routes).inspect_err(
                |_| {
                    let stats = &self.hcm.stats;
                    stats.inc(HttpStats::DOWNSTREAM_RQ_REJECTED_VIA_IP_DETECTION);
                },
            )?;
        }
        Ok(())
    }

    /// Which chain the request runs through; an upgrade must be allowed by route or connection manager.
    pub(super) fn choose_chain(&mut self, config: &HcmConfig) -> Result<(), LocalReply> {
        let kind = if request::is_upgrade(&self.request.headers) {
            self.request.headers.get(Known::Upgrade).unwrap_or_default()
        } else if self.is_connect {
            "CONNECT".as_bytes()
        } else {
            return Ok(());
        };
        let kind = String::from_utf8_lossy(kind).into_owned();
        let forward = self
            .router
            .route
            .as_deref()
            .and_then(|route| route.forward());
        let by_route = forward.and_then(|forward| forward.upgrade_enabled(&kind));
        let found = config
            .upgrades
            .iter()
            .position(|upgrade| upgrade.kind.eq_ignore_ascii_case(&kind));
        let allowed = match (by_route, found) {
            (Some(by_route), _) => by_route,
            (None, Some(index)) => config.upgrades[index].enabled,
            (None, None) => false,
        };
        if !allowed {
            // A CONNECT request that no route is for is left to the router, which says so.
            if self.is_connect && self.router.route.is_none() {
                return Ok(());
            }
            self.hcm
                .stats
                .inc(HttpStats::DOWNSTREAM_RQ_WS_ON_NON_WS_ROUTE);
            // What follows may be for the protocol that was refused: the connection is not trusted any more.
            self.saw_close = true;
            return Err(LocalReply::new(403, "", "upgrade_failed"));
        }
        if let Some(index) = found
            && config.upgrades[index].chain.is_some()
        {
            self.chain = ChainRef::Upgrade(index);
        }
        self.is_upgrade = !self.is_connect;
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_CX_UPGRADES_TOTAL);
        self.hcm
            .stats
            .gauge_add(HttpStats::DOWNSTREAM_CX_UPGRADES_ACTIVE, 1);
        self.is_counted_upgrade = true;
        Ok(())
    }
}
