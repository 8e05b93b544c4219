"""``environments/{api_key}/featurestates/`` and ``features/featurestates/``: feature states in two formats."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.exceptions import NotFound
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from core.pagination import FixedPages
from environments.access import visible_environments
from environments.models import Environment
from environments.scope import EnvironmentScopedView
from features.feature_states import services
from features.feature_states.serializers import (
    EnvironmentFeatureStateFilterSerializer,
    FeatureStateFilterSerializer,
    ListedFeatureStateSerializer,
    ObjectFeatureStateSerializer,
    PatchedFeatureStateSerializer,
    RawFeatureStateSerializer,
)
from features.models import FeatureState
from features.scopes import body_field, environment_by_id

LIVE_STATES = (
    FeatureState.objects.filter(version__isnull=False)
    .select_related("feature_state_value")
    .prefetch_related("multivariate_feature_state_values")
)


@extend_schema_view(
    list=extend_schema(parameters=[EnvironmentFeatureStateFilterSerializer], responses=ListedFeatureStateSerializer),
    partial_update=extend_schema(request=PatchedFeatureStateSerializer, responses=PatchedFeatureStateSerializer),
)
class EnvironmentFeatureStateViewSet(EnvironmentScopedView, ModelViewSet[FeatureState]):
    """Environment defaults; with ``anyIdentity`` in the query, identity overrides."""

    rules = "environment-featurestates"
    locked = "environment"
    pagination_class = FixedPages
    queryset = FeatureState.objects.all()

    def get_serializer_class(self) -> type[BaseSerializer[FeatureState]]:
        match self.action:
            case "list":
                return ListedFeatureStateSerializer
            case "partial_update":
                return PatchedFeatureStateSerializer
        return RawFeatureStateSerializer

    def get_queryset(self) -> QuerySet[FeatureState]:
        states = LIVE_STATES.filter(environment=self.environment, feature_segment=None).select_related("identity")
        identity_overrides = "anyIdentity" in self.request.query_params
        return states.filter(identity__isnull=not identity_overrides)

    def filter_queryset(self, queryset: QuerySet[FeatureState]) -> QuerySet[FeatureState]:
        given = {name: text for name, text in self.request.query_params.items() if text}
        query = EnvironmentFeatureStateFilterSerializer(data=given)
        query.is_valid(raise_exception=True)
        if "feature" in query.validated_data:
            queryset = queryset.filter(feature=query.validated_data["feature"])
        if "feature_name" in query.validated_data:
            queryset = queryset.filter(feature__name__iexact=query.validated_data["feature_name"])
        return queryset

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if body_field(request, "feature") is None:
            return Response({"detail": "Feature not provided"}, status=status.HTTP_400_BAD_REQUEST)
        return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """PUT is partial too, as in Flagsmith."""
        return super().update(request, *args, **{**kwargs, "partial": True})

    def perform_destroy(self, instance: FeatureState) -> None:
        services.require_direct_writes(self.environment)
        instance.delete()


@extend_schema_view(list=extend_schema(parameters=[FeatureStateFilterSerializer]))
class FeatureStateViewSet(
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    EnvironmentScopedView,
    GenericViewSet[FeatureState],
):
    """Defaults and overrides of an environment, which comes from the query, the body or the state."""

    rules = "featurestates"
    locked = "environment"
    pagination_class = FixedPages
    serializer_class = ObjectFeatureStateSerializer
    queryset = FeatureState.objects.all()

    @cached_property
    def feature_state(self) -> FeatureState:
        """The state of the path, read before the environment is locked."""
        visible = visible_environments(self.actor)
        states = FeatureState.objects.filter(environment__in=visible.values("pk"), version__isnull=False)
        state = states.select_related("environment__project").filter(pk=self.kwargs["pk"]).first()
        if state is None:
            raise NotFound("No FeatureState matches the given query.")
        return state

    def find_environment(self) -> Environment | None:
        if "pk" in self.kwargs:
            return self.feature_state.environment
        environment_id = self.request.query_params.get("environment")
        if self.action == "create":
            environment_id = body_field(self.request, "environment")
        return environment_by_id(environment_id, self.actor)

    @property
    def permission(self) -> str:
        """The permission that a write needs."""
        if "pk" in self.kwargs:
            is_segment_override = self.feature_state.feature_segment_id is not None
        else:
            is_segment_override = body_field(self.request, "feature_segment") is not None
        return "MANAGE_SEGMENT_OVERRIDES" if is_segment_override else "UPDATE_FEATURE_STATE"

    def get_queryset(self) -> QuerySet[FeatureState]:
        return LIVE_STATES.filter(environment=self.environment).select_related("environment__project")

    def filter_queryset(self, queryset: QuerySet[FeatureState]) -> QuerySet[FeatureState]:
        if self.action != "list":
            return queryset
        given = {name: text for name, text in self.request.query_params.items() if text}
        query = FeatureStateFilterSerializer(data=given)
        query.is_valid(raise_exception=True)
        filters = {name: query.validated_data[name] for name in ("feature", "feature_segment") if name in given}
        return queryset.filter(**filters)


class FeatureStateByUUIDView(EnvironmentScopedView, RetrieveAPIView[FeatureState]):
    """``features/featurestates/get-by-uuid/{uuid}/``."""

    rules = "featurestates/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = ObjectFeatureStateSerializer
    queryset = FeatureState.objects.all()

    def get_queryset(self) -> QuerySet[FeatureState]:
        visible = visible_environments(self.actor)
        return LIVE_STATES.filter(environment__in=visible.values("pk"))
