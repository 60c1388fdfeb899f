//! Trees of `xds.type.matcher.v3` that `envoy-types` does not have (`build/extra.rs` has them for the schema).

use envoy_types::pb::xds::core::v3::CidrRange;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::OnMatch;

/// `xds.type.matcher.v3.IPMatcher`: a tree over an address.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IpMatcher {
    /// What to do for addresses of some ranges.
    #[prost(message, repeated, tag = "1")]
    pub range_matchers: Vec<IpRangeMatcher>,
}

/// `xds.type.matcher.v3.IPMatcher.IPRangeMatcher`
#[derive(Clone, PartialEq, prost::Message)]
pub struct IpRangeMatcher {
    /// Any of these; the longest prefix of all matchers is tried first.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<CidrRange>,
    /// What to do.
    #[prost(message, optional, tag = "2")]
    pub on_match: Option<OnMatch>,
    /// Not to be tried after a longer prefix came to nothing.
    #[prost(bool, tag = "3")]
    pub exclusive: bool,
}

/// `xds.type.matcher.v3.ServerNameMatcher`: a tree over a domain name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ServerNameMatcher {
    /// What to do for some domains.
    #[prost(message, repeated, tag = "1")]
    pub domain_matchers: Vec<DomainMatcher>,
}

/// `xds.type.matcher.v3.ServerNameMatcher.DomainMatcher`
#[derive(Clone, PartialEq, prost::Message)]
pub struct DomainMatcher {
    /// `a.com`, `*.a.com` (anything in front, but not `a.com` itself), `*`.
    #[prost(string, repeated, tag = "1")]
    pub domains: Vec<String>,
    /// What to do.
    #[prost(message, optional, tag = "2")]
    pub on_match: Option<OnMatch>,
}

impl prost::Name for IpMatcher {
    const NAME: &'static str = "IPMatcher";
    const PACKAGE: &'static str = "xds.type.matcher.v3";
}

impl prost::Name for ServerNameMatcher {
    const NAME: &'static str = "ServerNameMatcher";
    const PACKAGE: &'static str = "xds.type.matcher.v3";
}
