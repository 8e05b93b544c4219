"""``environments/{environment}/metrics/``."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core.paths import ENVIRONMENT_KEY
from environments.models import Environment
from environments.scope import EnvironmentScopedView
from features.figures import figures


class MetricSerializer(serializers.Serializer):
    value = serializers.IntegerField()
    description = serializers.CharField()
    name = serializers.CharField()
    entity = serializers.CharField()
    rank = serializers.IntegerField()


class MetricsSerializer(serializers.Serializer):
    metrics = MetricSerializer(many=True)


@extend_schema(tags=["environments"])
class EnvironmentMetricsViewSet(EnvironmentScopedView, GenericViewSet[Environment]):
    """Counts of an environment's features and change requests."""

    rules = "environments"
    queryset = Environment.objects.none()
    serializer_class = MetricsSerializer
    lookup_field = "api_key"
    lookup_url_kwarg = "environment_api_key"
    lookup_value_regex = ENVIRONMENT_KEY

    @action(detail=True)
    def metrics(self, request: Request, environment_api_key: str) -> Response:
        return Response(self.get_serializer({"metrics": figures(self.environment)}).data)
