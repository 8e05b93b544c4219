"""The audit log of a project: the list of entries and the page of one entry, each with the events it caused."""

import json
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from audit.events import raised_by
from audit.models import AuditLog, RelatedObjectType
from audit.serializers import AuditFilterSerializer
from core.queries import QuerySerializer
from dashboard.audit import objects
from dashboard.scoped_pages import ProjectPage
from realtime.types import epoch_seconds

PAGE_SIZE = 30

ACTORS = (("", "Anybody"), ("false", "People and keys"), ("true", "The system"))
KINDS = dict(RelatedObjectType.choices)


class DaysSerializer(QuerySerializer):
    """Filter by day, in UTC. The API has no such filter."""

    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)


class LogPage(ProjectPage):
    """Base class of the log's pages. They need VIEW_AUDIT_LOG."""

    tab = "audit"

    def load(self) -> None:
        super().load()
        if not self.has_project_permission("VIEW_AUDIT_LOG"):
            raise PermissionDenied("To read the audit log needs the permission VIEW_AUDIT_LOG.")

    def entries(self) -> QuerySet[AuditLog]:
        # Only rows are joined that are not deleted before the entry.
        entries = AuditLog.objects.filter(project=self.project.pk)
        return entries.select_related("author", "master_api_key")

    def annotate(self, entries: Iterable[AuditLog]) -> None:
        """Set ``author_name``, ``kind``, ``environment_name``, ``events`` and ``link`` on each entry."""
        entries = list(entries)
        names = {environment.pk: environment.name for environment in self.environments}
        raised = raised_by(entries)
        for entry in entries:
            entry.author_name = author_name(entry)  # type: ignore[attr-defined]
            entry.kind = KINDS.get(entry.related_object_type or "", "")  # type: ignore[attr-defined]
            entry.environment_name = _environment_name(entry, names)  # type: ignore[attr-defined]
            entry.events = [  # type: ignore[attr-defined]
                {
                    "environment": names.get(version.environment_id, "an environment that you do not see"),
                    "updated_at": epoch_seconds(version.updated_at),
                    "at": version.updated_at,
                    "streaming_enabled": version.streaming_enabled,
                }
                for version in raised[entry.pk]
            ]
        objects.attach_links(entries, self)


class AuditPage(LogPage):
    """The list of entries, newest first, with the API's filters and a range of days."""

    template = "dashboard/audit/list.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        query = request.GET
        errors: dict[str, Any] = {}
        found = self.filtered_entries(errors).defer("change_details")
        page = Paginator(found, PAGE_SIZE).get_page(query.get("page"))
        page.object_list = list(page.object_list)
        self.annotate(page.object_list)
        names = ("search", "environments", "is_system_event", "since", "until")
        return self.render(
            status=400 if errors else 200,
            entries=page,
            errors=errors,
            actors=ACTORS,
            query={name: query.get(name, "") for name in names},
            filtered=any(query.get(name) for name in names),
        )

    def filtered_entries(self, errors: dict[str, Any]) -> QuerySet[AuditLog]:
        """The entries that match the query. An invalid filter is added to ``errors`` and ignored."""
        filters = {**self._read(AuditFilterSerializer, errors), **self._read(DaysSerializer, errors)}
        lookups = {
            "search": "log__icontains",
            "environments": "environment__in",
            "is_system_event": "is_system_event",
            "since": "created_date__date__gte",
            "until": "created_date__date__lte",
        }
        return self.entries().filter(**{lookups[name]: value for name, value in filters.items() if name in lookups})

    def _read(self, serializer: type[QuerySerializer], errors: dict[str, Any]) -> dict[str, Any]:
        query = QueryDict(mutable=True)
        for name in map(str, serializer().fields):
            query.setlist(name, self.request.GET.getlist(name))
        try:
            return serializer.read(query)
        except ValidationError as error:
            errors.update(error.detail if isinstance(error.detail, dict) else {})
            return {}


class EntryPage(LogPage):
    """One entry with its changed fields."""

    template = "dashboard/audit/entry.html"

    def get(self, request: HttpRequest, entry_pk: int, **kwargs: str) -> HttpResponse:
        entry = self.entries().filter(pk=entry_pk).first()
        if entry is None:
            raise Http404
        self.annotate([entry])
        details = [
            {**each, "old": detail_text(each["old"]), "new": detail_text(each["new"])} for each in entry.change_details
        ]
        return self.render(entry=entry, details=details)


def author_name(entry: AuditLog) -> str:
    if entry.author is not None:
        return f"{entry.author.first_name} {entry.author.last_name}".strip() or entry.author.email
    if entry.master_api_key is not None:
        return f"API key {entry.master_api_key.name}"
    return "System" if entry.is_system_event else "Somebody who is gone"


def _environment_name(entry: AuditLog, names: dict[int, str]) -> str:
    if entry.environment_id is None:
        return "All environments"
    return names.get(entry.environment_id, f"Environment {entry.environment_id}, which is gone or not yours to see")


def detail_text(value: Any) -> str:
    """A value as in JSON, but text without quotes."""
    if value is None:
        return "nothing"
    return json.dumps(value) if isinstance(value, bool) else str(value)
