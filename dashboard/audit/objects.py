"""What the log's entries are about, where it still exists: its page, and what it is called."""

from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import CharField, Model, QuerySet, Value
from django.urls import reverse

from audit.models import AuditLog, RelatedObjectType
from dashboard.places import ProjectPage
from features.models import Feature, FeatureState
from features.workflows.core.models import ChangeRequest
from segments.models import Segment

Named = tuple[str, int]
"""A kind of object, and a primary key."""


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


def link(entries: Iterable[AuditLog], page: ProjectPage) -> None:
    """Give each entry ``link``: a Link, or None. Two queries, however many there are."""
    entries = list(entries)
    of_state = dict(
        FeatureState.objects.filter(
            pk__in=[each.related_object_id for each in entries if _kind(each) == RelatedObjectType.FEATURE_STATE],
            environment__project=page.project.pk,
        ).values_list("pk", "feature")
    )
    named = {entry.pk: _named(entry, of_state) for entry in entries}
    there = _existing({each for each in named.values() if each is not None}, page)
    keys = {environment.pk: environment.api_key for environment in page.environments}
    shown = page.environment.api_key if page.environment else None
    for entry in entries:
        what = named[entry.pk]
        # Of what is about all environments, the page of the one that was shown last.
        key = shown if entry.environment_id is None else keys.get(entry.environment_id)
        entry.link = _link(what, page.project.pk, key) if what in there else None  # type: ignore[attr-defined]


def _kind(entry: AuditLog) -> str:
    return entry.related_object_type or ""


def _named(entry: AuditLog, of_state: dict[int, int]) -> Named | None:
    if _kind(entry) == RelatedObjectType.FEATURE_STATE:
        feature = of_state.get(entry.related_object_id or 0)
        return (RelatedObjectType.FEATURE, feature) if feature else None
    return (_kind(entry), entry.related_object_id) if entry.related_object_id and _kind(entry) in MODELS else None


def _existing(named: set[Named], page: ProjectPage) -> set[Named]:
    """Those of them that there are in the project."""
    queries: list[QuerySet] = []
    for kind, model in MODELS.items():
        wanted = [pk for each, pk in named if each == kind]
        if wanted:
            found = model._default_manager.filter(pk__in=wanted, project=page.project.pk).order_by()
            queries.append(found.values_list(Value(str(kind), output_field=CharField()), "pk"))
    if not queries:
        return set()
    return set(queries[0].union(*queries[1:], all=True))


def _link(what: Named | None, project: int, environment: str | None) -> Link | None:
    if what is None:
        return None
    kind, pk = what
    text = TEXTS[RelatedObjectType(kind)]
    if kind == RelatedObjectType.SEGMENT:
        return Link(reverse("dashboard:segment", args=[project, pk]), text)
    if environment is None:
        return None
    if kind == RelatedObjectType.FEATURE:
        return Link(reverse("dashboard:feature", args=[project, environment, pk]), text)
    return Link(f"/projects/{project}/environments/{environment}/change-requests/{pk}/", text)
