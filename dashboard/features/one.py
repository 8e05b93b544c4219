"""What the pages about one feature in one environment have in common: its head, its tabs, and who may do what."""

from datetime import timedelta
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import Http404
from django.utils import timezone

from audit.models import AuditLog, RelatedObjectType
from dashboard.api import Answer
from dashboard.features.editors import Editor, moment
from dashboard.features.views import FeaturePage
from features.models import Feature
from features.state_summaries import live_states
from features.workflows.core.models import PlannedChange

RECENT = timedelta(days=30)
MOST_ENTRIES = 5


class OneFeaturePage(FeaturePage):
    """A tab of a feature's page, or a form's target below it."""

    section = "value"
    """Which of the tabs it is."""

    @cached_property
    def feature(self) -> Feature:
        """With its tags and ``identity_overrides``: how many there are in this environment."""
        overrides = live_states(self.environment).filter(feature=OuterRef("pk"), identity__isnull=False)
        number = overrides.order_by().values("feature").annotate(number=Count("pk")).values("number")
        features = self.project.features.annotate(identity_overrides=Subquery(number))
        feature = features.prefetch_related("tags").filter(pk=self.kwargs["feature_pk"]).first()
        if feature is None:
            raise Http404
        return feature

    @property
    def place_in_api(self) -> str:
        """Of the flag as a whole."""
        return f"/api/__future__/environments/{self.environment.api_key}/features/{self.feature.pk}/"

    @property
    def may_change_flag(self) -> bool:
        return self.may("UPDATE_FEATURE_STATE")

    @property
    def may_override(self) -> bool:
        return self.may("MANAGE_SEGMENT_OVERRIDES")

    @property
    def override_permission(self) -> str:
        """What a click on a segment's override needs."""
        return "CREATE_CHANGE_REQUEST" if self.needs_approval else "MANAGE_SEGMENT_OVERRIDES"

    @property
    def may_propose(self) -> bool:
        return self.may("CREATE_CHANGE_REQUEST")

    @property
    def may_change_feature(self) -> bool:
        return self.may_in_project("CREATE_FEATURE")

    @cached_property
    def planned(self) -> list[PlannedChange]:
        """What change requests will do, or would, to this feature here, the next one first."""
        waiting = PlannedChange.objects.filter(
            feature_id=self.feature.pk,
            change_request__environment=self.environment.pk,
            change_request__failed_at=None,
            live_at=None,
        )
        found = list(waiting.select_related("change_request").order_by("live_from", "pk")[:MOST_ENTRIES])
        for each in found:
            each.request_url = self.request_url(each.change_request_id)  # type: ignore[attr-defined]
        return found

    def entries(self, states: list[int]) -> QuerySet[AuditLog] | None:
        """The last entries of the log about the feature and these states of it; None for those who may not see it."""
        if not self.may_in_project("VIEW_AUDIT_LOG"):
            return None
        about = Q(related_object_type=RelatedObjectType.FEATURE, related_object_id=self.feature.pk) | Q(
            related_object_type=RelatedObjectType.FEATURE_STATE, related_object_id__in=states
        )
        here = Q(environment=self.environment.pk) | Q(environment=None)
        entries = AuditLog.objects.filter(
            about, here, project=self.project.pk, created_date__gt=timezone.now() - RECENT
        )
        return entries.select_related("author").defer("change_details")[:MOST_ENTRIES]

    def propose(self, editor: Editor, state: dict[str, Any], *, commit: bool, whose: str = "") -> Answer:
        """Make a change request of one state, and with ``commit`` let it wait for its time by itself. Returns the
        request, or why there is none."""
        when, problem = moment(self.request.POST)
        if commit and not when:
            problem = "Say when it is to go live."
        if problem:
            return Answer(400, {"live_from": [problem]})
        body: dict[str, Any] = {
            "title": editor.title or f"{self.feature.name}{whose} in {self.environment.name}"[:500],
            "description": editor.description,
            "feature_states": [{"feature": self.feature.pk, "live_from": when or None, **state}],
        }
        with transaction.atomic():
            made = answer = self.call("POST", f"environments/{self.environment.api_key}/create-change-request/", body)
            if made.ok and commit:
                answer = self.call("POST", f"features/workflows/change-requests/{made.data['id']}/commit/")
            if not answer.ok:
                transaction.set_rollback(True)
        return made if answer.ok else answer

    def request_url(self, request_id: int) -> str:
        return f"/projects/{self.project.pk}/environments/{self.environment.api_key}/change-requests/{request_id}/"
