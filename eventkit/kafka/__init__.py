"""The event store on Apache Kafka: the only place that knows confluent_kafka."""
