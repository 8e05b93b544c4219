"""Server-Sent Events of OFREP's streams (ADR-0008): they make a provider evaluate again."""

import json
import re
from datetime import timedelta

from realtime.types import EPOCH, UpdatedAt, epoch_seconds

# The identifier of an event is its version. A longer number is not parsed.
EVENT_ID = re.compile(r"(\d{1,11})\.(\d{6})", re.ASCII)


def refetch_event(updated_at: UpdatedAt) -> bytes:
    """The complete event: the environment has this version."""
    version = epoch_seconds(updated_at)
    modified = updated_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    data = json.dumps({"type": "refetchEvaluation", "etag": version, "lastModified": modified}, separators=(",", ":"))
    return f"id: {version}\nevent: message\ndata: {data}\n\n".encode()


def version_of(last_event_id: str) -> UpdatedAt:
    """The version of the event with this identifier. The epoch for any other text, so every version is newer."""
    match = EVENT_ID.fullmatch(last_event_id)
    if match is None:
        return EPOCH
    return EPOCH + timedelta(seconds=int(match[1]), microseconds=int(match[2]))
