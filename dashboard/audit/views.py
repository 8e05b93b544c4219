"""The log of a project: who changed what, and which events went out for it."""

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
from dashboard.places import ProjectPage
from realtime.types import epoch_seconds

PAGE_SIZE = 30

ACTORS = (("", "Anybody"), ("false", "People and keys"), ("true", "The system"))
KINDS = dict(RelatedObjectType.choices)


class DaysSerializer(QuerySerializer):
    """Which days of the log, in UTC. The API does not ask for them."""

    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)


class LogPage(ProjectPage):
    """A page of the log, for those who may read it."""

    tab = "audit"

    def enter(self) -> None:
        super().enter()
        if not self.may_in_project("VIEW_AUDIT_LOG"):
            raise PermissionDenied("To read the audit log needs the permission VIEW_AUDIT_LOG.")

    def entries(self) -> QuerySet[AuditLog]:
        # Joined only with what an entry cannot outlive.
        entries = AuditLog.objects.filter(project=self.project.pk)
        return entries.select_related("author", "master_api_key")

    def tell(self, entries: Iterable[AuditLog]) -> None:
        """Give each what the page says of it: ``who``, ``kind``, ``where``, ``events`` and ``link``."""
        entries = list(entries)
        names = {environment.pk: environment.name for environment in self.environments}
        raised = raised_by(entries)
        for entry in entries:
            entry.who = _who(entry)  # type: ignore[attr-defined]
            entry.kind = KINDS.get(entry.related_object_type or "", "")  # type: ignore[attr-defined]
            entry.where = _where(entry, names)  # type: ignore[attr-defined]
            entry.events = [  # type: ignore[attr-defined]
                {
                    "where": names.get(version.environment_id, "an environment that you do not see"),
                    "updated_at": epoch_seconds(version.updated_at),
                    "at": version.updated_at,
                    "live": version.live,
                }
                for version in raised[entry.pk]
            ]
        objects.link(entries, self)


class AuditPage(LogPage):
    """The list, with the API's filters and two days more, the newest first."""

    template = "dashboard/audit/list.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        asked = request.GET
        errors: dict[str, Any] = {}
        found = self.narrowed(errors).defer("change_details")
        page = Paginator(found, PAGE_SIZE).get_page(asked.get("page"))
        page.object_list = list(page.object_list)
        self.tell(page.object_list)
        names = ("search", "environments", "is_system_event", "since", "until")
        return self.show(
            status=400 if errors else 200,
            entries=page,
            errors=errors,
            actors=ACTORS,
            asked={name: asked.get(name, "") for name in names},
            filtered=any(asked.get(name) for name in names),
        )

    def narrowed(self, errors: dict[str, Any]) -> QuerySet[AuditLog]:
        """What is asked for; what cannot be read stands in ``errors``, and narrows nothing."""
        wanted = {**self._read(AuditFilterSerializer, errors), **self._read(DaysSerializer, errors)}
        lookups = {
            "search": "log__icontains",
            "environments": "environment__in",
            "is_system_event": "is_system_event",
            "since": "created_date__date__gte",
            "until": "created_date__date__lte",
        }
        return self.entries().filter(**{lookups[name]: value for name, value in wanted.items() if name in lookups})

    def _read(self, serializer: type[QuerySerializer], errors: dict[str, Any]) -> dict[str, Any]:
        asked = QueryDict(mutable=True)
        for name in map(str, serializer().fields):
            asked.setlist(name, self.request.GET.getlist(name))
        try:
            return serializer.read(asked)
        except ValidationError as error:
            errors.update(error.detail if isinstance(error.detail, dict) else {})
            return {}


class EntryPage(LogPage):
    """An entry with what changed, field by field."""

    template = "dashboard/audit/entry.html"

    def get(self, request: HttpRequest, entry_pk: int, **kwargs: str) -> HttpResponse:
        entry = self.entries().filter(pk=entry_pk).first()
        if entry is None:
            raise Http404
        self.tell([entry])
        details = [{**each, "old": _plain(each["old"]), "new": _plain(each["new"])} for each in entry.change_details]
        return self.show(entry=entry, details=details)


def _who(entry: AuditLog) -> str:
    if entry.author is not None:
        return f"{entry.author.first_name} {entry.author.last_name}".strip() or entry.author.email
    if entry.master_api_key is not None:
        return f"API key {entry.master_api_key.name}"
    return "System" if entry.is_system_event else "Somebody who is gone"


def _where(entry: AuditLog, names: dict[int, str]) -> str:
    if entry.environment_id is None:
        return "All environments"
    return names.get(entry.environment_id, f"Environment {entry.environment_id}, which is gone or not yours to see")


def _plain(value: Any) -> str:
    """As JSON has it, but text without its quotes, and null in words."""
    if value is None:
        return "nothing"
    return json.dumps(value) if isinstance(value, bool) else str(value)
