//! Envoy v3 configuration: YAML, JSON and protobuf to typed messages, with diagnostics.
