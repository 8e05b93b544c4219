"""The tab "History" of a feature: who changed what and when in an environment, and the restoring of a state."""

from functools import cached_property
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from audit.models import AuditLog, ChangeType, RelatedObjectType
from dashboard.audit.views import author_name, detail_text
from dashboard.features.flag_copies import FlagCopy, read_flags
from dashboard.features.state_changes import StateChange, change_states
from dashboard.features.tab import FeatureTab
from dashboard.features.values import FormValue
from features.values import ValueType

PAGE_SIZE = 50

OPTION = "multivariate_feature_option"
"""The field of an entry that names the option of the percentage before it."""

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
            entry.details = self.shown_details(entry)  # type: ignore[attr-defined]
            entry.is_removal = entry.change_type == ChangeType.DELETE  # type: ignore[attr-defined]
            change = self.restored(entry)
            entry.restorable = change is not None and self.may_restore(change)  # type: ignore[attr-defined]
        return self.render(entries=page)

    def may_restore(self, change: StateChange) -> bool:
        if self.needs_approval:
            return self.may_propose
        return self.may_change_flag if change.segment is None else self.may_override

    @property
    def entries(self) -> "QuerySet[AuditLog]":
        """Also those of states that are gone: a removed override, or a state that a change request has replaced."""
        in_environment = Q(environment=self.environment.pk) | Q(environment=None)
        entries = AuditLog.objects.filter(in_environment, project=self.project.pk, feature_id=self.feature.pk)
        return entries.select_related("author", "master_api_key")

    @cached_property
    def segments(self) -> set[int]:
        return set(self.project.segments.values_list("pk", flat=True))

    @cached_property
    def options(self) -> dict[int, FormValue]:
        """The values of the feature's multivariate options."""
        return {each.pk: FormValue.from_stored(each.value) for each in self.feature.multivariate_options.all()}

    @cached_property
    def live_weights(self) -> dict[int | None, dict[int, float]]:
        """The present percentages of the options, by segment; None: of the environment default."""
        if not self.options:
            return {}
        flag = read_flags([self.environment], [self.feature.pk])[self.environment.pk].get(self.feature.pk, FlagCopy())
        return {
            segment: state.weights
            for segment, state in ((None, flag.default), *flag.overrides.items())
            if state is not None
        }

    def restored(self, entry: AuditLog) -> StateChange | None:
        """The fields of the environment default or a segment override as the entry's change set them.

        Of a removed override the fields as they were before. None if the entry has no such fields, if the segment or
        the options are gone, and for overrides of identities.
        """
        is_removal = entry.change_type == ChangeType.DELETE and entry.segment_id is not None
        is_state = entry.related_object_type == RelatedObjectType.FEATURE_STATE
        if not (is_removal or is_state) or entry.identity_id is not None:
            return None
        if entry.segment_id is not None and entry.segment_id not in self.segments:
            return None
        side = "old" if is_removal else "new"
        fields = {each["field"]: each[side] for each in entry.change_details}
        enabled = fields.get("enabled")
        enabled = enabled if isinstance(enabled, bool) else None
        if is_removal:
            if enabled is None:  # The entry has no content: no state was removed.
                return None
            # The entry omits null columns.
            fields = dict.fromkeys(COLUMN_TYPES) | {"type": ValueType.STRING} | fields
        value, weights = self._value(fields), self._weights(entry, side)
        if enabled is None and value is None and not weights:
            return None
        return StateChange(self.feature.pk, enabled, value, weights, entry.segment_id)

    def _value(self, fields: dict[str, Any]) -> FormValue | None:
        """The value that the changed columns gave; None if they do not give one."""
        changed = [column for column in COLUMN_TYPES if column in fields]
        kind = fields.get("type") or (COLUMN_TYPES[changed[0]] if len(changed) == 1 else None)
        column = next((each for each, type_ in COLUMN_TYPES.items() if type_ == kind), None)
        return FormValue.from_stored(fields[column]) if column in fields else None

    def _weights(self, entry: AuditLog, side: str) -> dict[int, float]:
        """The percentages that the entry gave to options, with the present ones of the other options. Empty if it gave
        none. A removed override has 0 % of the others. A percentage is followed by its option."""
        given: dict[int, float] = {}
        percentage = None
        for each in entry.change_details:
            if each["field"] == "percentage_allocation":
                percentage = each[side]
            elif each["field"] == OPTION and each[side] in self.options and percentage is not None:
                given[each[side]] = percentage
        zeros = dict.fromkeys(self.options, 0.0)
        if side == "old":
            return zeros | given
        if not given:
            return {}
        return zeros | self.live_weights.get(entry.segment_id, {}) | given

    def shown_details(self, entry: AuditLog) -> list[dict[str, Any]]:
        """The changed fields as text. A percentage names its option."""
        shown: list[dict[str, Any]] = []
        for each in entry.change_details:
            option = each["old"] if each["new"] is None else each["new"]
            if each["field"] == OPTION and shown:
                value = self.options.get(option)
                shown[-1]["field"] = f"percentage of {value.quoted_text if value else 'an option that is gone'}"
            else:
                shown.append({**each, "old": detail_text(each["old"]), "new": detail_text(each["new"])})
        return shown


class Restore(HistoryTab):
    """Set the fields of an entry as its change set them. If flags need approval, this is proposed."""

    def post(self, request: HttpRequest, entry_pk: int, **kwargs: str) -> HttpResponse:
        entry = self.entries.filter(pk=entry_pk).first()
        change = None if entry is None else self.restored(entry)
        if entry is None or change is None:
            raise Http404
        title = f"{self.feature.name} in {self.environment.name} as on {entry.created_date:%Y-%m-%d %H:%M} UTC"
        outcome = change_states(self, self.environment, [change], title)
        return outcome.redirect(self, self.url("feature-history"), "Restored.")
