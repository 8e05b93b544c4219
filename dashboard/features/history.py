"""The tab "History" of a feature: who changed what and when in an environment, and the restoring of a state."""

from functools import cached_property
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from audit.models import AuditLog, RelatedObjectType
from dashboard.audit.views import author_name, detail_text
from dashboard.features.defaults import DefaultChange, change_defaults
from dashboard.features.tab import FeatureTab
from dashboard.features.values import FormValue
from features.models import FeatureState
from features.values import ValueType

PAGE_SIZE = 50

# The types of the columns of a feature state's value.
COLUMN_TYPES = {
    "string_value": ValueType.STRING,
    "integer_value": ValueType.INTEGER,
    "boolean_value": ValueType.BOOLEAN,
}


class HistoryTab(FeatureTab):
    """The audit log's entries about the feature and its states in this environment. Needs VIEW_AUDIT_LOG."""

    template = "dashboard/features/feature_history.html"
    section = "history"

    def handle(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.load()
        if not self.has_project_permission("VIEW_AUDIT_LOG"):
            raise PermissionDenied("To see the history needs the permission VIEW_AUDIT_LOG.")
        return super().handle(request, *args, **kwargs)

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        page = Paginator(self.entries, PAGE_SIZE).get_page(request.GET.get("page"))
        page.object_list = list(page.object_list)
        for entry in page.object_list:
            entry.who = author_name(entry)  # type: ignore[attr-defined]
            entry.details = [  # type: ignore[attr-defined]
                {**each, "old": detail_text(each["old"]), "new": detail_text(each["new"])}
                for each in entry.change_details
            ]
            entry.restorable = self.restored(entry) is not None  # type: ignore[attr-defined]
        permission = "CREATE_CHANGE_REQUEST" if self.needs_approval else "UPDATE_FEATURE_STATE"
        return self.render(entries=page, may_restore=self.has_environment_permission(permission))

    @property
    def entries(self) -> "QuerySet[AuditLog]":
        states = FeatureState.objects.filter(feature=self.feature.pk, environment=self.environment.pk)
        about = Q(related_object_type=RelatedObjectType.FEATURE, related_object_id=self.feature.pk) | Q(
            related_object_type=RelatedObjectType.FEATURE_STATE, related_object_id__in=states.values("pk")
        )
        in_environment = Q(environment=self.environment.pk) | Q(environment=None)
        entries = AuditLog.objects.filter(about, in_environment, project=self.project.pk)
        return entries.select_related("author", "master_api_key")

    @cached_property
    def default_ids(self) -> set[int]:
        """The states that are or were the environment's default."""
        states = FeatureState.objects.filter(feature=self.feature.pk, environment=self.environment.pk)
        return set(states.filter(identity=None, feature_segment=None).values_list("pk", flat=True))

    def restored(self, entry: AuditLog) -> DefaultChange | None:
        """The fields of the environment default as the entry's change set them. None if it set none of them."""
        is_default = entry.related_object_type == RelatedObjectType.FEATURE_STATE
        if not is_default or entry.related_object_id not in self.default_ids:
            return None
        new = {each["field"]: each["new"] for each in entry.change_details}
        enabled = new.get("enabled")
        value = self._value(new)
        if not isinstance(enabled, bool) and value is None:
            return None
        return DefaultChange(self.feature.pk, enabled if isinstance(enabled, bool) else None, value)

    def _value(self, new: dict[str, Any]) -> FormValue | None:
        """The value that the changed columns gave; None if they do not give one."""
        changed = [column for column in COLUMN_TYPES if column in new]
        kind = new.get("type") or (COLUMN_TYPES[changed[0]] if len(changed) == 1 else None)
        column = next((each for each, type_ in COLUMN_TYPES.items() if type_ == kind), None)
        return FormValue.from_stored(new[column]) if column in new else None


class Restore(HistoryTab):
    """Set the fields of an entry as its change set them. If flags need approval, this is proposed."""

    def post(self, request: HttpRequest, entry_pk: int, **kwargs: str) -> HttpResponse:
        entry = self.entries.filter(pk=entry_pk).first()
        change = None if entry is None else self.restored(entry)
        if entry is None or change is None:
            raise Http404
        title = f"{self.feature.name} in {self.environment.name} as on {entry.created_date:%Y-%m-%d %H:%M} UTC"
        outcome = change_defaults(self, self.environment, [change], title)
        return outcome.redirect(self, self.url("feature-history"), "Restored.")
