//! HTTP: routes, extractors, error bodies, OpenAPI.
