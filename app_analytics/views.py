"""Usage endpoints of the Admin API."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from app_analytics import usage
from app_analytics.serializers import (
    EvaluationQuerySerializer,
    EventsSerializer,
    FeatureEvaluationDataSerializer,
    StreamsSerializer,
    TotalCountSerializer,
    UsageDataSerializer,
    UsageQuerySerializer,
)
from app_analytics.throttles import UsageThrottle
from environments.access import visible_environments
from organisations.scope import OrganisationScopedView
from projects.scope import ProjectScopedView


def usage_filter(request: Request) -> usage.UsageFilter:
    query = UsageQuerySerializer(data=request.query_params)
    query.is_valid(raise_exception=True)
    return usage.UsageFilter(**query.validated_data)


class UsageDataView(OrganisationScopedView):
    rules = "usage-data"
    serializer_class = UsageDataSerializer
    throttle_classes = [UsageThrottle]

    @extend_schema(parameters=[UsageQuerySerializer], responses=UsageDataSerializer(many=True))
    def get(self, request: Request, organisation_pk: str) -> Response:
        """Billable requests, by day and labels."""
        rows = usage.requests(self.organisation, usage_filter(request))
        return Response(UsageDataSerializer(rows, many=True).data)


class StreamsView(OrganisationScopedView):
    rules = "usage-data/streams"
    serializer_class = StreamsSerializer
    throttle_classes = [UsageThrottle]

    @extend_schema(parameters=[UsageQuerySerializer], responses=StreamsSerializer(many=True))
    def get(self, request: Request, organisation_pk: str) -> Response:
        """Opened streams, by day. They are not billable and have no labels. Flagsmith does not have this endpoint."""
        rows = usage.streams(self.organisation, usage_filter(request))
        return Response(StreamsSerializer(rows, many=True).data)


class TotalCountView(OrganisationScopedView):
    rules = "usage-data/total-count"
    serializer_class = TotalCountSerializer
    throttle_classes = [UsageThrottle]

    @extend_schema(responses=TotalCountSerializer)
    def get(self, request: Request, organisation_pk: str) -> Response:
        """Billable requests of the last 30 days."""
        return Response({"count": usage.total(self.organisation)})


class UsageEventsView(OrganisationScopedView):
    rules = "usage"
    serializer_class = EventsSerializer
    throttle_classes = [UsageThrottle]

    @extend_schema(responses=EventsSerializer, deprecated=True)
    def get(self, request: Request, organisation_pk: str) -> Response:
        """The same number as ``usage-data/total-count/``, for older clients."""
        return Response({"events": usage.total(self.organisation)})


class EvaluationDataView(ProjectScopedView):
    rules = "features/evaluation-data"
    serializer_class = FeatureEvaluationDataSerializer

    @extend_schema(parameters=[EvaluationQuerySerializer], responses=FeatureEvaluationDataSerializer(many=True))
    def get(self, request: Request, **kwargs: Any) -> Response:
        """Evaluations of the flag in an environment, by day and labels."""
        feature = get_object_or_404(self.project.features.all(), pk=kwargs["feature_pk"])
        query = EvaluationQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        environments = visible_environments(self.actor).filter(project=self.project)
        environment = environments.filter(pk=query.validated_data["environment_id"]).first()
        if environment is None:
            raise NotFound("No Environment matches the given query.")
        rows = usage.evaluations(feature, environment, query.validated_data["period"], query.validated_data["labels"])
        return Response(FeatureEvaluationDataSerializer(rows, many=True).data)
