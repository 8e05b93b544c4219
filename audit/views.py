"""``audit/``, ``organisations/{organisation}/audit/`` and ``projects/{project}/audit/``."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from audit.models import AuditLog
from audit.serializers import AuditFilterSerializer, AuditLogDetailSerializer, AuditLogSerializer
from core.pagination import LargePages
from organisations.access import administered_organisations
from projects.scope import ProjectScopedView


@extend_schema_view(list=extend_schema(parameters=[AuditFilterSerializer]))
class AuditLogViewSet(ListModelMixin, RetrieveModelMixin, ProjectScopedView, GenericViewSet[AuditLog]):
    """The entries of all organisations that the caller administers, the newest first."""

    rules = "audit"
    queryset = AuditLog.objects.all()
    pagination_class = LargePages

    def get_serializer_class(self) -> type[BaseSerializer[AuditLog]]:
        return AuditLogDetailSerializer if self.action == "retrieve" else AuditLogSerializer

    def get_queryset(self) -> QuerySet[AuditLog]:
        # Prefetched, not joined: an inner join would leave out the entries of deleted projects and environments.
        entries = self.visible_entries().prefetch_related("author", "environment", "project")
        return entries.defer("change_details") if self.action == "list" else entries

    def visible_entries(self) -> QuerySet[AuditLog]:
        organisations = administered_organisations(self.actor)
        return AuditLog.objects.filter(organisation__in=organisations.values("pk"))

    def filter_queryset(self, queryset: QuerySet[AuditLog]) -> QuerySet[AuditLog]:
        if self.action != "list":
            return queryset
        filters = AuditFilterSerializer.read(self.request.query_params)
        if "project" in filters:
            queryset = queryset.filter(project=filters["project"])
        if "environments" in filters:
            queryset = queryset.filter(environment__in=filters["environments"])
        if "search" in filters:
            queryset = queryset.filter(log__icontains=filters["search"])
        if "is_system_event" in filters:
            queryset = queryset.filter(is_system_event=filters["is_system_event"])
        return queryset


class OrganisationAuditLogViewSet(AuditLogViewSet):
    """The entries of an organisation, those of deleted projects included."""

    rules = "organisations/audit"

    def visible_entries(self) -> QuerySet[AuditLog]:
        return AuditLog.objects.filter(organisation=self.organisation)


class ProjectAuditLogViewSet(AuditLogViewSet):
    """The entries of a project."""

    rules = "projects/audit"

    def visible_entries(self) -> QuerySet[AuditLog]:
        return AuditLog.objects.filter(project=self.project)
