"""Creates, updates, clones and deletes segments with their trees.

Rules and conditions are written in bulk, which sends no model signals, so each service announces the project's
environments before it writes.
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
    """New columns and rules of a segment, which was read by ``trees.with_trees``."""

    segment: Segment
    name: str
    description: str | None
    feature_id: int | None
    rules: list[RuleData]

    @property
    def columns(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "feature_id": self.feature_id}


def create_segment(project: Project, *, rules: list[RuleData], **fields: Any) -> Segment:
    """Create a segment with its tree. Saving the segment announces it."""
    segment = Segment.objects.create(project=project, **fields)
    trees.write([(segment, rules)])
    return _read(segment)


def update_segment(segment: Segment, *, rules: list[RuleData] | None = None, **fields: Any) -> Segment:
    """Set fields. The tree is replaced unless ``rules`` is None.

    A change that SDKs cannot read (of a description) is not announced.
    """
    if rules is not None:
        stored = trees.read(segment)
        if trees.visible_to_sdks(rules) != trees.visible_to_sdks(stored):
            versions.announce(segment.project.environments.values_list("pk", flat=True))
        report(AboutToChangeRules(segment, stored, trees.with_missing_fields(rules)))
    for name, value in fields.items():
        setattr(segment, name, value)
    segment.save()
    if rules is not None:
        trees.clear([segment])
        trees.write([(segment, rules)])
    return _read(segment)


def update_segments(updates: Iterable[SegmentUpdate]) -> None:
    """Update segments of one project with a constant number of queries."""
    updates = list(updates)
    if not updates:
        return
    stored = {update.segment.pk: trees.read(update.segment) for update in updates}
    if any(_is_visible_to_sdks(update, stored[update.segment.pk]) for update in updates):
        versions.announce(updates[0].segment.project.environments.values_list("pk", flat=True))
    changed, now = [], timezone.now()
    for update in updates:
        segment = update.segment
        before = {name: getattr(segment, name) for name in update.columns}
        changed.append((segment, before, stored[segment.pk], trees.with_missing_fields(update.rules)))
        for name, value in update.columns.items():
            setattr(segment, name, value)
        segment.updated_at = now
    segments = [update.segment for update in updates]
    Segment.objects.bulk_update(segments, ["name", "description", "feature_id", "updated_at"])
    trees.clear(segments)
    trees.write((update.segment, update.rules) for update in updates)
    report(SegmentsUpdated(changed))


def _is_visible_to_sdks(update: SegmentUpdate, stored: list[RuleData]) -> bool:
    """Whether SDKs can read a change."""
    return update.name != update.segment.name or trees.visible_to_sdks(update.rules) != trees.visible_to_sdks(stored)


def delete_segment(segment: Segment) -> None:
    """Delete a segment with its overrides (up to one for each feature in each environment).

    The overrides are deleted raw, as in ``features.services.delete_feature``. Deleting the segment announces it.
    """
    removal.empty(Segment.objects.filter(pk=segment.pk))
    trees.clear([segment])
    segment.delete()


def clone_segment(segment: Segment, name: str) -> Segment:
    """Create a copy of the segment and its tree with another name. Overrides are not copied."""
    return create_segment(
        segment.project,
        name=name,
        description=segment.description,
        feature_id=segment.feature_id,
        rules=trees.read(segment),
    )


def _read(segment: Segment) -> Segment:
    return trees.with_trees(Segment.objects.all()).get(pk=segment.pk)
