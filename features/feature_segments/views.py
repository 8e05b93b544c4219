"""``features/feature-segments/``, and the endpoint that creates a segment override in one request."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.generics import CreateAPIView, GenericAPIView, RetrieveAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.locks import lock_environment
from core.pagination import FixedPages
from environments.access import has_environment_permission, visible_environments
from environments.models import Environment
from environments.scope import EnvironmentScopedView
from features.feature_segments import services
from features.feature_segments.serializers import (
    FeatureSegmentFilterSerializer,
    FeatureSegmentSerializer,
    FeatureSegmentWriteSerializer,
    OverrideSerializer,
    PrioritySerializer,
)
from features.models import Feature, FeatureSegment, FeatureState
from features.scopes import body_field, environment_by_id


def visible_feature_segments(actor: Any) -> QuerySet[FeatureSegment]:
    visible = visible_environments(actor)
    return FeatureSegment.objects.filter(environment__in=visible.values("pk")).select_related("segment")


@extend_schema_view(list=extend_schema(parameters=[FeatureSegmentFilterSerializer]))
class FeatureSegmentViewSet(EnvironmentScopedView, ModelViewSet[FeatureSegment]):
    """The environment comes from the query of a list, the body of a creation, otherwise from the feature segment."""

    rules = "feature-segments"
    locked = "environment"
    pagination_class = FixedPages
    queryset = FeatureSegment.objects.all()

    @cached_property
    def filter_parameters(self) -> dict[str, Any]:
        query = FeatureSegmentFilterSerializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        return dict(query.validated_data)

    def find_environment(self) -> Environment | None:
        visible = visible_environments(self.actor).select_related("project")
        if "pk" in self.kwargs:
            environment = visible.filter(feature_segments=self.kwargs["pk"]).first()
            if environment is None:
                raise NotFound("No FeatureSegment matches the given query.")
            return environment
        if self.action == "create":
            return environment_by_id(body_field(self.request, "environment"), self.actor)
        return visible.filter(pk=self.filter_parameters["environment"]).first()

    def get_serializer_class(self) -> type[BaseSerializer[FeatureSegment]]:
        if self.action in ("create", "update", "partial_update"):
            return FeatureSegmentWriteSerializer
        return FeatureSegmentSerializer

    def get_queryset(self) -> QuerySet[FeatureSegment]:
        return FeatureSegment.objects.filter(environment=self.environment).select_related("segment")

    def filter_queryset(self, queryset: QuerySet[FeatureSegment]) -> QuerySet[FeatureSegment]:
        return queryset.filter(feature=self.filter_parameters["feature"]) if self.action == "list" else queryset

    def perform_destroy(self, instance: FeatureSegment) -> None:
        services.remove_feature_segments([instance])


class FeatureSegmentByUUIDView(EnvironmentScopedView, RetrieveAPIView[FeatureSegment]):
    """``features/feature-segments/get-by-uuid/{uuid}/``."""

    rules = "feature-segments/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = FeatureSegmentSerializer
    queryset = FeatureSegment.objects.all()

    def get_queryset(self) -> QuerySet[FeatureSegment]:
        return visible_feature_segments(self.actor)


class PrioritiesView(EnvironmentScopedView, GenericAPIView[FeatureSegment]):
    """``features/feature-segments/update-priorities/``. The environment comes from the feature segments in the body."""

    rules = "feature-segments/update-priorities"
    serializer_class = PrioritySerializer
    queryset = FeatureSegment.objects.all()

    @extend_schema(request=PrioritySerializer(many=True), responses=FeatureSegmentSerializer(many=True))
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        items = serializer.validated_data
        priorities = {item["id"]: item["priority"] for item in items}
        visible = visible_feature_segments(self.actor).select_related("environment__project", "feature")
        feature_segments = visible.in_bulk(list(priorities))
        if len(feature_segments) != len(items):
            raise ValidationError({"non_field_errors": ["Some of the provided ids were not found."]})
        if not items:
            return Response([])
        scopes = {(each.environment, each.feature) for each in feature_segments.values()}
        if len(scopes) > 1:
            message = "All feature segments must belong to the same feature & environment."
            raise ValidationError({"non_field_errors": [message]})
        environment, feature = scopes.pop()
        if not has_environment_permission(self.actor, environment, "MANAGE_SEGMENT_OVERRIDES"):
            raise PermissionDenied
        lock_environment(environment.pk)
        moved = services.reorder(environment, feature, priorities)
        return Response(FeatureSegmentSerializer(moved, many=True).data)


class OverrideView(EnvironmentScopedView, CreateAPIView[FeatureState]):
    """``environments/{api_key}/features/{feature}/create-segment-override/``."""

    rules = "create-segment-override"
    locked = "environment"
    serializer_class = OverrideSerializer
    queryset = FeatureState.objects.all()

    @cached_property
    def feature(self) -> Feature:
        return get_object_or_404(Feature.objects.filter(project=self.project), pk=self.kwargs["feature_pk"])
