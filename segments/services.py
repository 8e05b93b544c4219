"""Changes of segments that are more than one save.

Each announces the project's environments before it writes: rules and conditions are written in bulk, and bulk writes
send no signal.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.utils import timezone

from core import removal
from core.changes import report
from projects.models import Project
from realtime.changes import versions
from segments import trees
from segments.changes import AboutToChangeRules, SegmentsUpdated
from segments.models import Segment
from segments.trees import RuleData


class SegmentUpdate(NamedTuple):
    """What a segment that ``trees.with_trees`` has read is to become, whole."""

    segment: Segment
    name: str
    description: str | None
    feature_id: int | None
    rules: list[RuleData]

    @property
    def columns(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "feature_id": self.feature_id}


def create_segment(project: Project, *, rules: list[RuleData], **fields: Any) -> Segment:
    """A new segment with its tree; saving it announces it."""
    segment = Segment.objects.create(project=project, **fields)
    trees.write([(segment, rules)])
    return _read(segment)


def update_segment(segment: Segment, *, rules: list[RuleData] | None = None, **fields: Any) -> Segment:
    """Set these fields, and replace the tree unless ``rules`` is None.

    A tree that SDKs would read as before is replaced in silence: it may have other descriptions.
    """
    if rules is not None:
        stored = trees.read(segment)
        if trees.read_by_sdks(rules) != trees.read_by_sdks(stored):
            versions.announce(segment.project.environments.values_list("pk", flat=True))
        report(AboutToChangeRules(segment, stored, trees.complete(rules)))
    for name, value in fields.items():
        setattr(segment, name, value)
    segment.save()
    if rules is not None:
        trees.clear([segment])
        trees.write([(segment, rules)])
    return _read(segment)


def update_segments(updates: Iterable[SegmentUpdate]) -> None:
    """Make segments of one project what they are to become; as many queries for all of them as for one."""
    updates = list(updates)
    if not updates:
        return
    stored = {update.segment.pk: trees.read(update.segment) for update in updates}
    if any(_shows(update, stored[update.segment.pk]) for update in updates):
        versions.announce(updates[0].segment.project.environments.values_list("pk", flat=True))
    changed, now = [], timezone.now()
    for update in updates:
        segment = update.segment
        before = {name: getattr(segment, name) for name in update.columns}
        changed.append((segment, before, stored[segment.pk], trees.complete(update.rules)))
        for name, value in update.columns.items():
            setattr(segment, name, value)
        segment.updated_at = now
    segments = [update.segment for update in updates]
    Segment.objects.bulk_update(segments, ["name", "description", "feature_id", "updated_at"])
    trees.clear(segments)
    trees.write((update.segment, update.rules) for update in updates)
    report(SegmentsUpdated(changed))


def _shows(update: SegmentUpdate, stored: list[RuleData]) -> bool:
    """Whether an SDK reads something else then."""
    return update.name != update.segment.name or trees.read_by_sdks(update.rules) != trees.read_by_sdks(stored)


def delete_segment(segment: Segment) -> None:
    """Remove a segment with its overrides, of which there may be one for each feature in each environment.

    Their rows go first and raw, as in ``features.services.delete_feature``; the segment's own row announces.
    """
    removal.empty(Segment.objects.filter(pk=segment.pk))
    trees.clear([segment])
    segment.delete()


def clone_segment(segment: Segment, name: str) -> Segment:
    """A segment of another name that picks out the same identities; overrides are not copied."""
    return create_segment(
        segment.project,
        name=name,
        description=segment.description,
        feature_id=segment.feature_id,
        rules=trees.read(segment),
    )


def _read(segment: Segment) -> Segment:
    return trees.with_trees(Segment.objects.all()).get(pk=segment.pk)
