"""Kafka for tests and for people: one broker or three, from Kafka's jars or by Docker."""
