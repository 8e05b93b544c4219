"""``projects/{project}/change-requests/``: change requests of segments."""

from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.pagination import LargePages
from features.workflows.core import segment_changes
from features.workflows.core.models import ChangeRequest, SegmentChange
from features.workflows.core.project_serializers import (
    ListedProjectChangeRequestSerializer,
    ProjectChangeRequestSerializer,
    RetrievedProjectChangeRequestSerializer,
)
from features.workflows.core.serializers import RequestFilterSerializer
from features.workflows.core.views import DecisionMixin, filter_requests


@extend_schema_view(list=extend_schema(parameters=[RequestFilterSerializer]))
class ProjectChangeRequestViewSet(DecisionMixin, ModelViewSet[ChangeRequest]):
    rules = "projects/change-requests"
    locked = "project"
    pagination_class = LargePages
    queryset = ChangeRequest.objects.all()

    def get_serializer_class(self) -> type[BaseSerializer[ChangeRequest]]:
        match self.action:
            case "list":
                return ListedProjectChangeRequestSerializer
            case "create" | "update" | "partial_update":
                return ProjectChangeRequestSerializer
        return RetrievedProjectChangeRequestSerializer

    def get_queryset(self) -> QuerySet[ChangeRequest]:
        requests = ChangeRequest.objects.filter(project=self.project, environment=None)
        if self.action == "list":
            return requests
        return requests.select_related("project").prefetch_related("approvals", "segment_changes")

    def filter_queryset(self, queryset: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:
        if self.action != "list":
            return queryset
        parameters = RequestFilterSerializer.read(self.request.query_params)
        queryset = filter_requests(queryset, parameters)
        if "segment_id" in parameters:
            changes = SegmentChange.objects.filter(change_request=OuterRef("pk"), segment=parameters["segment_id"])
            queryset = queryset.filter(Exists(changes))
        return queryset

    def perform_destroy(self, instance: ChangeRequest) -> None:
        segment_changes.delete_change_request(instance)

    def perform_commit(self, instance: ChangeRequest) -> None:
        segment_changes.commit(instance, self.actor)
