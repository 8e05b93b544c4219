"""Prometheus metrics of the relay (docs/metrics.md)."""

from realtime.monitoring import metrics

RESULTS = (
    "changed",
    "unchanged",
    "not_modified",
    "older",
    "invalid",
    "foreign",
    "unauthorized",
    "failed",
    "unreachable",
)

ENDPOINTS = ("flags", "identities", "environment-document", "analytics", "traits")

fetches = metrics.Counter(
    "realtime_relay_fetches", "Requests for environment documents to the upstream, by result.", "result", RESULTS
)
fetch_seconds = metrics.Histogram(
    "realtime_relay_fetch_seconds", "Seconds until the upstream's answer to a request for an environment document."
)
reads = metrics.Counter("realtime_relay_reads", "Requests of SDKs that the relay has answered.", "endpoint", ENDPOINTS)
rejected = metrics.Counter("realtime_relay_rejected", "Requests of SDKs that the relay has answered with an error.")
notifications = metrics.Counter(
    "realtime_relay_notifications", "Newer versions that were announced.", "source", ("post", "stream")
)
stored_failures = metrics.Counter("realtime_relay_storage_failures", "Failed reads and writes of stored documents.")
dropped = metrics.Counter(
    "realtime_relay_dropped",
    "Counts of usage and traits that were not sent to the upstream.",
    "kind",
    ("usage", "traits"),
)
