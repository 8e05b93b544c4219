"""``environments/{api_key}/featurestates/`` and ``features/featurestates/``: the same states in two formats."""

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
from features.scopes import environment_named, in_body

LIVE = (
    FeatureState.objects.filter(version__isnull=False)
    .select_related("feature_state_value")
    .prefetch_related("multivariate_feature_state_values")
)


@extend_schema_view(
    list=extend_schema(parameters=[EnvironmentFeatureStateFilterSerializer], responses=ListedFeatureStateSerializer),
    partial_update=extend_schema(request=PatchedFeatureStateSerializer, responses=PatchedFeatureStateSerializer),
)
class EnvironmentFeatureStateViewSet(EnvironmentScopedView, ModelViewSet[FeatureState]):
    """An environment's defaults; with ``anyIdentity`` in the query, its identities' overrides."""

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
        states = LIVE.filter(environment=self.environment, feature_segment=None).select_related("identity")
        of_identities = "anyIdentity" in self.request.query_params
        return states.filter(identity__isnull=not of_identities)

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
        if in_body(request, "feature") is None:
            return Response({"detail": "Feature not provided"}, status=status.HTTP_400_BAD_REQUEST)
        return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """PUT is as partial as PATCH."""
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
    """Defaults and all overrides of an environment that the query, the body or the state itself names."""

    rules = "featurestates"
    locked = "environment"
    pagination_class = FixedPages
    serializer_class = ObjectFeatureStateSerializer
    queryset = FeatureState.objects.all()

    @cached_property
    def addressed(self) -> FeatureState:
        """The state that the path names, as it was before the lock."""
        visible = visible_environments(self.actor)
        states = FeatureState.objects.filter(environment__in=visible.values("pk"), version__isnull=False)
        state = states.select_related("environment__project").filter(pk=self.kwargs["pk"]).first()
        if state is None:
            raise NotFound("No FeatureState matches the given query.")
        return state

    def find_environment(self) -> Environment | None:
        if "pk" in self.kwargs:
            return self.addressed.environment
        named = self.request.query_params.get("environment")
        if self.action == "create":
            named = in_body(self.request, "environment")
        return environment_named(named, self.actor)

    @property
    def permission(self) -> str:
        """The key that a write needs."""
        if "pk" in self.kwargs:
            of_segment = self.addressed.feature_segment_id is not None
        else:
            of_segment = in_body(self.request, "feature_segment") is not None
        return "MANAGE_SEGMENT_OVERRIDES" if of_segment else "UPDATE_FEATURE_STATE"

    def get_queryset(self) -> QuerySet[FeatureState]:
        return LIVE.filter(environment=self.environment).select_related("environment__project")

    def filter_queryset(self, queryset: QuerySet[FeatureState]) -> QuerySet[FeatureState]:
        if self.action != "list":
            return queryset
        given = {name: text for name, text in self.request.query_params.items() if text}
        query = FeatureStateFilterSerializer(data=given)
        query.is_valid(raise_exception=True)
        wanted = {name: query.validated_data[name] for name in ("feature", "feature_segment") if name in given}
        return queryset.filter(**wanted)


class FeatureStateByUUIDView(EnvironmentScopedView, RetrieveAPIView[FeatureState]):
    """``features/featurestates/get-by-uuid/{uuid}/``."""

    rules = "featurestates/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = ObjectFeatureStateSerializer
    queryset = FeatureState.objects.all()

    def get_queryset(self) -> QuerySet[FeatureState]:
        visible = visible_environments(self.actor)
        return LIVE.filter(environment__in=visible.values("pk"))
