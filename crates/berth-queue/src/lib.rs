//! Durable work: RabbitMQ and an in-memory twin.
