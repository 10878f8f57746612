"""The reference service: what a user of eventkit writes, here for a permit office."""
