"""A TCP proxy that knows Kafka's frames: holds requests back, loses answers, cuts and delays."""
