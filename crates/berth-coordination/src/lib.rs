//! Leases, routes, invalidation and throttles: Redis, an in-memory twin, and the twin over a Unix socket.
