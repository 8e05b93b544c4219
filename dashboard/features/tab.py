"""The base class of pages about one feature in one environment: header, tabs and permissions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, OuterRef, Q, QuerySet, Subquery, Value
from django.http import Http404
from django.utils import timezone

from audit.models import AuditLog
from dashboard.api import APIResponse
from dashboard.features.editors import Editor, parse_time
from dashboard.features.proposals import ProposalForm
from dashboard.features.views import FeaturePage
from features.models import Feature
from features.state_summaries import live_states
from features.workflows.core.models import ChangeSet, PlannedChange

RECENT = timedelta(days=30)
MAX_ENTRIES = 5


@dataclass(frozen=True)
class Pending:
    """A change of a change request that is not live."""

    title: str
    is_committed: bool
    live_from: datetime | None
    segment_name: str | None
    request_url: str


class FeatureTab(FeaturePage):
    """A tab of a feature's page, or a view that its forms post to."""

    section = "value"
    """The current tab."""

    @cached_property
    def feature(self) -> Feature:
        """With tags, and ``identity_overrides``: their number in this environment."""
        overrides = live_states(self.environment).filter(feature=OuterRef("pk"), identity__isnull=False)
        number = overrides.order_by().values("feature").annotate(number=Count("pk")).values("number")
        features = self.project.features.annotate(identity_overrides=Subquery(number))
        feature = features.prefetch_related("tags").filter(pk=self.kwargs["feature_pk"]).first()
        if feature is None:
            raise Http404
        return feature

    @property
    def flag_api_path(self) -> str:
        """API path of the flag with all its overrides in this environment."""
        return f"/api/__future__/environments/{self.environment.api_key}/features/{self.feature.pk}/"

    @property
    def may_change_flag(self) -> bool:
        return self.has_environment_permission("UPDATE_FEATURE_STATE")

    @property
    def may_override(self) -> bool:
        return self.has_environment_permission("MANAGE_SEGMENT_OVERRIDES")

    @property
    def override_permission(self) -> str:
        """The permission needed to change a segment override."""
        return "CREATE_CHANGE_REQUEST" if self.needs_approval else "MANAGE_SEGMENT_OVERRIDES"

    @property
    def may_propose(self) -> bool:
        return self.has_environment_permission("CREATE_CHANGE_REQUEST")

    @property
    def may_change_feature(self) -> bool:
        return self.has_project_permission("CREATE_FEATURE")

    @cached_property
    def planned(self) -> list[Pending]:
        """The pending changes of this feature in change requests, the next one first. One query."""
        pending = {
            "feature_id": self.feature.pk,
            "change_request__environment": self.environment.pk,
            "change_request__failed_at": None,
            "live_at": None,
        }
        columns = ("change_request", "change_request__title", "change_request__committed_at", "live_from")
        states = PlannedChange.objects.filter(**pending).order_by().values_list(*columns, "segment_name")
        no_segment = Value(None, output_field=CharField())
        sets = ChangeSet.objects.filter(**pending).order_by().values_list(*columns, no_segment)
        found = states.union(sets, all=True).order_by("live_from", "change_request")[:MAX_ENTRIES]
        return [
            Pending(title, committed_at is not None, live_from, segment_name, self.request_url(pk))
            for pk, title, committed_at, live_from, segment_name in found
        ]

    def audit_entries(self) -> QuerySet[AuditLog] | None:
        """The latest audit log entries about the feature, its default and its segment overrides; None without
        VIEW_AUDIT_LOG."""
        if not self.has_project_permission("VIEW_AUDIT_LOG"):
            return None
        in_environment = Q(environment=self.environment.pk) | Q(environment=None)
        entries = AuditLog.objects.filter(
            in_environment,
            project=self.project.pk,
            feature_id=self.feature.pk,
            identity_id=None,
            created_date__gt=timezone.now() - RECENT,
        )
        return entries.select_related("author").defer("change_details")[:MAX_ENTRIES]

    def propose(self, editor: Editor, state: dict[str, Any], *, commit: bool, title_suffix: str = "") -> APIResponse:
        """Create a change request with one state, and with ``commit`` commit it. Returns the request, or the error."""
        states = [{"feature": self.feature.pk, **state}]
        return self._create_request(editor, commit=commit, title_suffix=title_suffix, feature_states=states)

    def propose_overrides(self, form: ProposalForm, *, title_suffix: str, **change_set: Any) -> APIResponse:
        """Create a change request that removes or reorders segment overrides. Returns the request, or the error."""
        change_sets = [{"feature": self.feature.pk, **change_set}]
        return self._create_request(form, commit=False, title_suffix=title_suffix, change_sets=change_sets)

    def _create_request(
        self, form: Editor | ProposalForm, *, commit: bool, title_suffix: str, **changes: list[dict[str, Any]]
    ) -> APIResponse:
        when, error = parse_time(self.request.POST)
        if commit and not when:
            error = "Say when it is to go live."
        if error:
            return APIResponse(400, {"live_from": [error]})
        timed = {name: [{"live_from": when or None, **each} for each in items] for name, items in changes.items()}
        body: dict[str, Any] = {
            "title": form.title or f"{self.feature.name}{title_suffix} in {self.environment.name}"[:500],
            "description": form.description,
            "feature_states": [],
            **timed,
        }
        with transaction.atomic():
            created = response = self.call(
                "POST", f"environments/{self.environment.api_key}/create-change-request/", body
            )
            if created.ok and commit:
                response = self.call("POST", f"features/workflows/change-requests/{created.data['id']}/commit/")
            if not response.ok:
                transaction.set_rollback(True)
        return created if response.ok else response
