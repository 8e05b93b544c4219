"""``projects/{project}/segments/{segment}/associated-features/``."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core.pagination import LargePages
from environments.access import visible_environments
from features.models import FeatureState
from projects.scope import ProjectScopedView
from segments.models import Segment


class AssociatedFeatureSerializer(serializers.ModelSerializer[FeatureState]):
    """The feature state of a segment override."""

    class Meta:
        model = FeatureState
        fields = ["id", "feature", "environment"]


class AssociatedFeatureFilterSerializer(serializers.Serializer[Any]):
    environment = serializers.IntegerField(required=False)


class AssociatedFeatureViewSet(ProjectScopedView, GenericViewSet[Segment]):
    """The overrides of a segment."""

    rules = "segments"
    pagination_class = LargePages
    queryset = Segment.objects.all()
    serializer_class = AssociatedFeatureSerializer

    @extend_schema(parameters=[AssociatedFeatureFilterSerializer], responses=AssociatedFeatureSerializer(many=True))
    @action(detail=True, url_path="associated-features")
    def associated_features(self, request: Request, **kwargs: Any) -> Response:
        """Live overrides of the segment in the environments that are visible to the caller."""
        query = AssociatedFeatureFilterSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        environments = visible_environments(self.actor)
        if "environment" in query.validated_data:
            environments = environments.filter(pk=query.validated_data["environment"])
        states = FeatureState.objects.filter(
            feature_segment__segment=get_object_or_404(self.project.segments, pk=self.kwargs["pk"]),
            environment__in=environments.values("pk"),
            version__isnull=False,
        )
        page = self.paginate_queryset(states)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
