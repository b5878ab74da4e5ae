"""Real services for tests: a Kafka, a Redis, and processes that can be killed at any moment."""
