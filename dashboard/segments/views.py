"""The list of a project's segments, deletion of a segment, and the base class of pages about one segment."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from dashboard.scoped_pages import ProjectPage
from dashboard.segments.operators import describe_condition
from features.models import FeatureState
from realtime.types import epoch_seconds
from segments import trees
from segments.models import Segment
from segments.trees import RuleData

PAGE_SIZE = 50
MAX_CONDITION_TEXTS = 3


class SegmentsPage(ProjectPage):
    """The list of segments, with search and pagination."""

    template = "dashboard/segments/list.html"
    tab = "segments"

    @property
    def version(self) -> str:
        """The version of any environment: a change of a segment raises the versions of all environments."""
        return epoch_seconds(self.environment.updated_at) if self.environment else ""

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        search = request.GET.get("search", "").strip()
        found = self.project.segments.select_related("feature").order_by("name", "id")
        if search:
            found = found.filter(name__icontains=search)
        page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
        segments = list(trees.with_trees(page.object_list))  # type: ignore[arg-type]
        page.object_list = segments
        self._annotate(segments)
        return self.render(segments=page, search=search, may_manage=self.has_project_permission("MANAGE_SEGMENTS"))

    def _annotate(self, segments: list[Segment]) -> None:
        """Set ``condition_texts`` (the first), ``more`` and ``overridden_features`` (numbers) on each segment."""
        used = overrides_of(segments, self).values_list("feature_segment__segment")
        features = dict(used.annotate(Count("feature", distinct=True)).order_by())
        for segment in segments:
            all_texts = list(condition_texts(trees.read(segment)))
            segment.condition_texts = all_texts[:MAX_CONDITION_TEXTS]  # type: ignore[attr-defined]
            segment.more = len(all_texts) - MAX_CONDITION_TEXTS  # type: ignore[attr-defined]
            segment.overridden_features = features.get(segment.pk, 0)  # type: ignore[attr-defined]


def overrides_of(segments: Iterable[Segment], page: ProjectPage) -> QuerySet[FeatureState]:
    """The live overrides for the segments, in the environments that the user may see."""
    return FeatureState.objects.filter(
        feature_segment__segment__in=[segment.pk for segment in segments],
        environment__in=[environment.pk for environment in page.environments],
        version__isnull=False,
    )


def condition_texts(rules: Iterable[RuleData]) -> Iterable[str]:
    """All conditions of a tree as text."""
    for rule in rules:
        for each in rule.get("conditions", ()):
            yield describe_condition(each["operator"], each.get("property"), each.get("value"))
        yield from condition_texts(rule.get("rules", ()))


class SegmentPage(ProjectPage):
    """A page below ``segments/{segment_pk}/``."""

    tab = "segments"

    @cached_property
    def segment(self) -> Segment:
        segment = self.project.segments.select_related("feature").filter(pk=self.kwargs["segment_pk"]).first()
        if segment is None:
            raise Http404
        trees.prefetch(segment)
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
        return self.has_project_permission("MANAGE_SEGMENTS")

    @cached_property
    def uses(self) -> list[dict[str, Any]]:
        """The features with overrides for this segment, each with the environments of the overrides."""
        by_pk = {environment.pk: environment for environment in self.environments}
        rows = overrides_of([self.segment], self).order_by("feature__name", "environment")
        uses: dict[int, dict[str, Any]] = {}
        for pk, name, environment in rows.values_list("feature", "feature__name", "environment").distinct():
            use = uses.setdefault(pk, {"feature": pk, "name": name, "environments": []})
            use["environments"].append(by_pk[environment])
        return list(uses.values())

    def context(self) -> dict[str, Any]:
        return {**super().context(), "segment": self.segment, "may_manage": self.may_manage}


class DeletePage(SegmentPage):
    """Delete a segment with its overrides. GET shows a confirmation page for browsers without JavaScript."""

    template = "dashboard/segments/delete.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        return self.render()

    def post(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        name = self.segment.name
        response = self.call("DELETE", self.api_path)
        if not response.ok:
            return self.redirect(self.url, error=response.message)
        return self.redirect(self.list_url, f"{name} is deleted.")
