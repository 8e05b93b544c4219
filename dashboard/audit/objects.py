"""Links from audit log entries to the pages of the objects that they are about."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import CharField, Model, QuerySet, Value
from django.urls import reverse

from audit.models import AuditLog, RelatedObjectType
from dashboard.scoped_pages import ProjectPage
from features.models import Feature, FeatureState
from features.workflows.core.models import ChangeRequest
from segments.models import Segment

ObjectKey = tuple[str, int]
"""A related object type and a primary key."""


class Link(NamedTuple):
    url: str
    text: str


TEXTS = {
    RelatedObjectType.FEATURE: "Feature",
    RelatedObjectType.SEGMENT: "Segment",
    RelatedObjectType.CHANGE_REQUEST: "Change request",
}

MODELS: dict[str, type[Model]] = {
    RelatedObjectType.FEATURE: Feature,
    RelatedObjectType.SEGMENT: Segment,
    RelatedObjectType.CHANGE_REQUEST: ChangeRequest,
}


def attach_links(entries: Iterable[AuditLog], page: ProjectPage) -> None:
    """Set ``link`` on each entry: a Link, or None if the object has no page or no longer exists. Two queries."""
    entries = list(entries)
    feature_by_state = dict(
        FeatureState.objects.filter(
            pk__in=[each.related_object_id for each in entries if _kind(each) == RelatedObjectType.FEATURE_STATE],
            environment__project=page.project.pk,
        ).values_list("pk", "feature")
    )
    objects = {entry.pk: _object_key(entry, feature_by_state) for entry in entries}
    existing = _existing({each for each in objects.values() if each is not None}, page)
    api_keys = {environment.pk: environment.api_key for environment in page.environments}
    selected = page.environment.api_key if page.environment else None
    for entry in entries:
        key = objects[entry.pk]
        # An entry about all environments links to the selected one.
        environment = selected if entry.environment_id is None else api_keys.get(entry.environment_id)
        entry.link = _link(key, page.project.pk, environment) if key in existing else None  # type: ignore[attr-defined]


def _kind(entry: AuditLog) -> str:
    return entry.related_object_type or ""


def _object_key(entry: AuditLog, feature_by_state: dict[int, int]) -> ObjectKey | None:
    if _kind(entry) == RelatedObjectType.FEATURE_STATE:
        feature = feature_by_state.get(entry.related_object_id or 0)
        return (RelatedObjectType.FEATURE, feature) if feature else None
    return (_kind(entry), entry.related_object_id) if entry.related_object_id and _kind(entry) in MODELS else None


def _existing(keys: set[ObjectKey], page: ProjectPage) -> set[ObjectKey]:
    """Those of the objects that exist in the project."""
    queries: list[QuerySet] = []
    for kind, model in MODELS.items():
        pks = [pk for each, pk in keys if each == kind]
        if pks:
            found = model._default_manager.filter(pk__in=pks, project=page.project.pk).order_by()
            queries.append(found.values_list(Value(str(kind), output_field=CharField()), "pk"))
    if not queries:
        return set()
    return set(queries[0].union(*queries[1:], all=True))


def _link(key: ObjectKey | None, project: int, environment: str | None) -> Link | None:
    if key is None:
        return None
    kind, pk = key
    text = TEXTS[RelatedObjectType(kind)]
    if kind == RelatedObjectType.SEGMENT:
        return Link(reverse("dashboard:segment", args=[project, pk]), text)
    if environment is None:
        return None
    if kind == RelatedObjectType.FEATURE:
        return Link(reverse("dashboard:feature", args=[project, environment, pk]), text)
    return Link(f"/projects/{project}/environments/{environment}/change-requests/{pk}/", text)
