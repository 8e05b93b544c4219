"""The segments of a project: the list, and what each is used for."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.places import ProjectPage
from dashboard.segments.operators import said
from features.models import FeatureState
from realtime.types import epoch_seconds
from segments import trees
from segments.models import Segment
from segments.trees import RuleData

PAGE_SIZE = 50
MOST_SAID = 3


class SegmentsPage(ProjectPage):
    """The list, with search, 50 segments at a time."""

    template = "dashboard/segments/list.html"
    tab = "segments"

    @property
    def version(self) -> str:
        """Whoever changes a segment changes all environments, so any of them tells of it."""
        return epoch_seconds(self.environment.updated_at) if self.environment else ""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        search = request.GET.get("search", "").strip()
        found = self.project.segments.select_related("feature").order_by("name", "id")
        if search:
            found = found.filter(name__icontains=search)
        page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
        segments = list(trees.with_trees(page.object_list))  # type: ignore[arg-type]
        page.object_list = segments
        self._count(segments)
        return self.show(segments=page, search=search, may_manage=self.may_in_project("MANAGE_SEGMENTS"))

    def _count(self, segments: list[Segment]) -> None:
        """Give each ``said``, ``conditions`` and ``overriding``: some of its conditions, and two numbers."""
        used = self.overrides(segments).values_list("feature_segment__segment")
        features = dict(used.annotate(Count("feature", distinct=True)).order_by())
        for segment in segments:
            said_of = list(lines(trees.read(segment)))
            segment.said = said_of[:MOST_SAID]  # type: ignore[attr-defined]
            segment.more = len(said_of) - MOST_SAID  # type: ignore[attr-defined]
            segment.overriding = features.get(segment.pk, 0)  # type: ignore[attr-defined]

    def overrides(self, segments: Iterable[Segment]) -> QuerySet[FeatureState]:
        """The live overrides that use them, in the environments that the user may see."""
        return overrides_of(segments, self)


def overrides_of(segments: Iterable[Segment], page: ProjectPage) -> QuerySet[FeatureState]:
    return FeatureState.objects.filter(
        feature_segment__segment__in=[segment.pk for segment in segments],
        environment__in=[environment.pk for environment in page.environments],
        version__isnull=False,
    )


def lines(rules: Iterable[RuleData]) -> Iterable[str]:
    """All conditions of a tree, in words."""
    for rule in rules:
        for each in rule.get("conditions", ()):
            yield said(each["operator"], each.get("property"), each.get("value"))
        yield from lines(rule.get("rules", ()))


class SegmentPage(ProjectPage):
    """A page below ``segments/{segment_pk}/``."""

    tab = "segments"

    @cached_property
    def segment(self) -> Segment:
        segments = trees.with_trees(self.project.segments.select_related("feature"))
        segment = segments.filter(pk=self.kwargs["segment_pk"]).first()
        if segment is None:
            raise Http404
        return segment

    @property
    def list_url(self) -> str:
        return reverse("dashboard:segments", args=[self.project.pk])

    @property
    def url(self) -> str:
        return reverse("dashboard:segment", args=[self.project.pk, self.segment.pk])

    @property
    def api_path(self) -> str:
        return f"projects/{self.project.pk}/segments/{self.segment.pk}/"

    @cached_property
    def may_manage(self) -> bool:
        return self.may_in_project("MANAGE_SEGMENTS")

    @cached_property
    def uses(self) -> list[dict[str, Any]]:
        """The features that it overrides, each with its environments."""
        names = {environment.pk: environment for environment in self.environments}
        rows = overrides_of([self.segment], self).order_by("feature__name", "environment")
        uses: dict[int, dict[str, Any]] = {}
        for pk, name, environment in rows.values_list("feature", "feature__name", "environment").distinct():
            use = uses.setdefault(pk, {"feature": pk, "name": name, "environments": []})
            use["environments"].append(names[environment])
        return list(uses.values())

    def context(self) -> dict[str, Any]:
        return {**super().context(), "segment": self.segment, "may_manage": self.may_manage}


class DeletePage(SegmentPage):
    """Delete a segment with its overrides. GET asks, for those whose browser does not."""

    template = "dashboard/segments/delete.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = self.segment.name
        answer = self.call("DELETE", self.api_path)
        if not answer.ok:
            return self.go(self.url, refused=answer.message)
        return self.go(self.list_url, f"{name} is deleted.")
