"""The changes that services of segments report (``core.changes.report``)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from segments.models import Segment


class AboutToChangeRules(NamedTuple):
    """A segment gets other rules, as JSON, with its next save."""

    segment: Segment
    old: Any
    new: Any


class SegmentsUpdated(NamedTuple):
    """Segments were updated in bulk: their columns before, and their rules before and after."""

    changed: Iterable[tuple[Segment, Mapping[str, Any], Any, Any]]
