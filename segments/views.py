"""``projects/{project}/segments/``."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.generics import RetrieveAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.pagination import LargePages
from environment_documents.membership import segments_of
from environments.access import visible_environments
from environments.identities.models import Identity
from projects.access import visible_projects
from projects.scope import ProjectScopedView
from segments import services, trees
from segments.models import Segment
from segments.serializers import (
    CloneSegmentSerializer,
    SegmentFilterSerializer,
    SegmentSerializer,
)


@extend_schema_view(list=extend_schema(parameters=[SegmentFilterSerializer]))
class SegmentViewSet(ProjectScopedView, ModelViewSet[Segment]):
    rules = "segments"
    locked = "project"
    pagination_class = LargePages
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()

    def get_queryset(self) -> QuerySet[Segment]:
        return trees.with_trees(self.project.segments.all())

    def filter_queryset(self, queryset: QuerySet[Segment]) -> QuerySet[Segment]:
        if self.action != "list":
            return queryset
        query = SegmentFilterSerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        parameters = query.validated_data
        if parameters.get("q"):
            queryset = queryset.filter(name__icontains=parameters["q"])
        if not parameters["include_feature_specific"]:
            queryset = queryset.filter(feature=None)
        if "identity" in parameters:
            identity = get_object_or_404(self._visible_identities(), pk=parameters["identity"])
            queryset = queryset.filter(pk__in=segments_of(identity))
        return queryset

    def _visible_identities(self) -> QuerySet[Identity]:
        environments = visible_environments(self.actor).filter(project=self.project)
        return Identity.objects.filter(environment__in=environments.values("pk"))

    def perform_create(self, serializer: BaseSerializer[Segment]) -> None:
        serializer.save(project=self.project)

    def perform_destroy(self, instance: Segment) -> None:
        services.delete_segment(instance)

    @extend_schema(request=CloneSegmentSerializer, responses={201: SegmentSerializer})
    @action(detail=True, methods=["POST"], serializer_class=CloneSegmentSerializer)
    def clone(self, request: Request, **kwargs: Any) -> Response:
        segment = self.get_object()
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        clone = services.clone_segment(segment, serializer.validated_data["name"])
        return Response(SegmentSerializer(clone).data, status=status.HTTP_201_CREATED)


class SegmentByUUIDView(ProjectScopedView, RetrieveAPIView[Segment]):
    """``segments/get-by-uuid/{uuid}/``."""

    rules = "segments/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = SegmentSerializer
    queryset = Segment.objects.all()

    def get_queryset(self) -> QuerySet[Segment]:
        visible = visible_projects(self.actor)
        return trees.with_trees(Segment.objects.filter(project__in=visible.values("pk")))
