"""Prometheus metrics of the read path (docs/metrics.md)."""

import time

from app_analytics.models import Resource
from realtime.monitoring import metrics
from realtime.types import UpdatedAt

ENDPOINTS = {
    Resource.FLAGS: "flags",
    Resource.IDENTITIES: "identities",
    Resource.ENVIRONMENT_DOCUMENT: "environment-document",
}

# A read this soon after the environment's last change is most likely caused by the event.
REFETCH_SECONDS = 10.0

_reads = metrics.Counter(
    "realtime_reads", "Reads of SDKs that the read path answered, ahead of Django.", "endpoint", ENDPOINTS.values()
)
_reads_passed_to_django = metrics.Counter(
    "realtime_reads_left_to_django", "Plain reads of SDKs that were passed to Django.", "endpoint", ENDPOINTS.values()
)
READS = {resource: _reads[name] for resource, name in ENDPOINTS.items()}
READS_PASSED_TO_DJANGO = {resource: _reads_passed_to_django[name] for resource, name in ENDPOINTS.items()}


def refetch_deadline(updated_at: UpdatedAt) -> float:
    """The ``time.time()`` until which a read of this version counts as a refetch."""
    return updated_at.timestamp() + REFETCH_SECONDS


def count_reads(resource: Resource, refetch_deadline: float, number: int = 1) -> None:
    """Count answered reads. Only for the event loop."""
    READS[resource].add(number)
    if time.time() < refetch_deadline:
        metrics.refetches.add(number)
