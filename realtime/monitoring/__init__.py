"""Metrics for Prometheus, and the liveness of the process."""
