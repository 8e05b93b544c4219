"""``environments/{environment}/metrics/``."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from environments.models import Environment
from environments.scope import EnvironmentsView
from features.environment_metrics import environment_metrics


class MetricSerializer(serializers.Serializer):
    value = serializers.IntegerField()
    description = serializers.CharField()
    name = serializers.CharField()
    entity = serializers.CharField()
    rank = serializers.IntegerField()


class MetricsSerializer(serializers.Serializer):
    metrics = MetricSerializer(many=True)


@extend_schema(tags=["environments"])
class EnvironmentMetricsViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """Counts of an environment's features and change requests."""

    serializer_class = MetricsSerializer

    @action(detail=True)
    def metrics(self, request: Request, environment_api_key: str) -> Response:
        return Response(self.get_serializer({"metrics": environment_metrics(self.environment)}).data)
