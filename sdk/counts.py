"""What the read path counts for Prometheus (docs/metrics.md)."""

import time

from app_analytics.models import Resource
from realtime.monitoring import metrics
from realtime.types import UpdatedAt

ENDPOINTS = {
    Resource.FLAGS: "flags",
    Resource.IDENTITIES: "identities",
    Resource.ENVIRONMENT_DOCUMENT: "environment-document",
}

# Who reads an environment so soon after its last change has most likely been told of it.
REFETCH_SECONDS = 10.0

_reads = metrics.Counter(
    "realtime_reads", "Reads of SDKs that were answered ahead of Django.", "endpoint", ENDPOINTS.values()
)
_left = metrics.Counter(
    "realtime_reads_left_to_django", "Ordinary reads of SDKs that Django had to answer.", "endpoint", ENDPOINTS.values()
)
READS = {resource: _reads[name] for resource, name in ENDPOINTS.items()}
LEFT = {resource: _left[name] for resource, name in ENDPOINTS.items()}


def fresh_until(updated_at: UpdatedAt) -> float:
    """Until when, as ``time.time()`` has it, a read of this version counts as a refetch."""
    return updated_at.timestamp() + REFETCH_SECONDS


def answered(resource: Resource, fresh_until: float, number: int = 1) -> None:
    """So many reads have been answered. In the event loop."""
    READS[resource].add(number)
    if time.time() < fresh_until:
        metrics.refetches.add(number)
