"""Log entries before they are written, without the author and the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from audit.models import ChangeType, RelatedObjectType
from projects.models import Project

Plain = str | int | float | bool | None


class Detail(TypedDict):
    """A field's value before and after the change."""

    field: str
    old: Plain
    new: Plain


@dataclass(frozen=True)
class Scope:
    """The organisation, project and environment of a change. None: all environments of the project."""

    organisation_id: int
    project_id: int
    environment_id: int | None = None

    @classmethod
    def of(cls, project: Project, environment_id: int | None = None) -> "Scope":
        return cls(project.organisation_id, project.pk, environment_id)


@dataclass(frozen=True)
class Entry:
    """An entry for ``audit.recording.record``."""

    log: str
    type: RelatedObjectType | None
    """None for a kind of object that Flagsmith's clients do not know."""
    object_id: int | None
    scope: Scope
    change: ChangeType = ChangeType.UNKNOWN
    details: Sequence[Detail] = ()
    feature_id: int | None = None
    segment_id: int | None = None
    identity_id: int | None = None


def share_details(option_id: int, old: float | None, new: float | None) -> list[Detail]:
    """The percentage of an option, and then the option: Flagsmith's entry does not name it."""
    option = [None if share is None else option_id for share in (old, new)]
    return [detail("percentage_allocation", old, new), detail("multivariate_feature_option", *option)]


def detail(field: str, old: Any, new: Any) -> Detail:
    return {"field": field, "old": _plain(old), "new": _plain(new)}


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Detail]:
    """The fields whose values differ. Empty if ``before`` or ``after`` is None."""
    if before is None or after is None:
        return []
    return [detail(name, before[name], after[name]) for name in after if before[name] != after[name]]


def _plain(value: Any) -> Plain:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
