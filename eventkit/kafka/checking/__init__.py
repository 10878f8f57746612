"""What `eventkit verify` and `eventkit doctor` look at."""
