"""Changes of segments that are more than one save.

Each announces the project's environments before it writes: rules and conditions are written in bulk, and bulk writes
send no signal.
"""

from typing import Any

from audit.table import rules_change
from projects.models import Project
from realtime import versions
from segments import trees
from segments.models import Segment
from segments.trees import RuleData


def create_segment(project: Project, *, rules: list[RuleData], **fields: Any) -> Segment:
    """A new segment with its tree; saving it announces it."""
    segment = Segment.objects.create(project=project, **fields)
    trees.write(segment, rules)
    return _read(segment)


def update_segment(segment: Segment, *, rules: list[RuleData] | None = None, **fields: Any) -> Segment:
    """Set these fields, and replace the tree unless ``rules`` is None.

    A tree that SDKs would read as before is replaced in silence: it may have other descriptions.
    """
    if rules is not None:
        stored = trees.read(segment)
        if trees.read_by_sdks(rules) != trees.read_by_sdks(stored):
            versions.announce(segment.project.environments.values_list("pk", flat=True))
        rules_change(segment, stored, trees.complete(rules))
    for name, value in fields.items():
        setattr(segment, name, value)
    segment.save()
    if rules is not None:
        trees.clear(segment)
        trees.write(segment, rules)
    return _read(segment)


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
