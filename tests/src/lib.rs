//! Drives the built binaries over the wire against real Postgres, Redis and RabbitMQ.
