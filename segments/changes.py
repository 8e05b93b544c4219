"""Change records that services of segments report (``core.changes.report``)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from segments.models import Segment


class AboutToChangeRules(NamedTuple):
    """The rules of a segment (as JSON) will be replaced after its next save."""

    segment: Segment
    old: Any
    new: Any


class SegmentsUpdated(NamedTuple):
    """Segments were updated in bulk: columns before, rules before and after."""

    changed: Iterable[tuple[Segment, Mapping[str, Any], Any, Any]]
