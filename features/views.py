"""``projects/{project}/features/``."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.pagination import LargePages
from core.representation import prefetch_many_to_many, prefetch_reverse
from environments.access import visible_environments
from environments.models import Environment
from features import filters, services, state_summaries
from features.models import Feature
from features.serializers import (
    ChangedFeatureSerializer,
    FeatureSerializer,
    GroupIDsSerializer,
    ListedFeatureSerializer,
    NewFeatureSerializer,
    OwnedFeatureSerializer,
    UserIDsSerializer,
)
from projects.access import visible_projects
from projects.scope import ProjectScopedView

FILTERS = extend_schema(parameters=[filters.FeatureFilterSerializer])
OWNERS = extend_schema(request=UserIDsSerializer, responses=OwnedFeatureSerializer)
GROUP_OWNERS = extend_schema(request=GroupIDsSerializer, responses=OwnedFeatureSerializer)
NEEDS_OWNER = "Features of this project need an owner."


@extend_schema_view(list=FILTERS, retrieve=FILTERS)
class FeatureViewSet(ProjectScopedView, ModelViewSet[Feature]):
    rules = "features"
    locked = "project"
    pagination_class = LargePages
    queryset = Feature.objects.all()

    def get_serializer_class(self) -> type[BaseSerializer[Feature]]:
        match self.action:
            case "create":
                return NewFeatureSerializer
            case "update" | "partial_update":
                return ChangedFeatureSerializer
        return ListedFeatureSerializer

    def get_queryset(self) -> QuerySet[Feature]:
        return filters.filter_features(
            self.project.features.all(),
            self.filter_parameters,
            self.state_environment,
            with_relations=self.action != "list",
        )

    @cached_property
    def filter_parameters(self) -> dict[str, Any]:
        return filters.FeatureFilterSerializer.read(self.request.query_params)

    @cached_property
    def state_environment(self) -> Environment | None:
        """The environment whose feature states are shown, if the query names one."""
        if "environment" not in self.filter_parameters:
            return None
        visible = visible_environments(self.actor).filter(project=self.project)
        environment = visible.filter(pk=self.filter_parameters["environment"]).first()
        if environment is None:
            raise NotFound("No Environment matches the given query.")
        return environment

    def paginate_queryset(self, queryset: Any) -> Any:
        page = super().paginate_queryset(queryset) or []
        features = self.project.features.all()
        prefetch_reverse(page, filters.REVERSE_RELATIONS, superset=features)
        prefetch_many_to_many(page, filters.MANY_TO_MANY, superset=features, keys_only=("tags",))
        if self.state_environment is not None:
            state_summaries.attach(page, self.state_environment, self.filter_parameters.get("segment"))
        return page

    def get_object(self) -> Feature:
        feature = super().get_object()
        if self.state_environment is not None:
            state_summaries.attach([feature], self.state_environment, self.filter_parameters.get("segment"))
        return feature

    def perform_destroy(self, instance: Feature) -> None:
        services.delete_feature(instance)

    @OWNERS
    @action(detail=True, methods=["POST"], url_path="add-owners", serializer_class=OwnedFeatureSerializer)
    def add_owners(self, request: Request, **kwargs: Any) -> Response:
        feature = self.get_object()
        user_ids = self._ids(request, UserIDsSerializer, "user_ids")
        if services.possible_owners(self.project).filter(pk__in=user_ids).count() != len(user_ids):
            raise ValidationError("Some users not found")
        feature.owners.add(*user_ids)
        return self._owners_response(feature)

    @OWNERS
    @action(detail=True, methods=["POST"], url_path="remove-owners", serializer_class=OwnedFeatureSerializer)
    def remove_owners(self, request: Request, **kwargs: Any) -> Response:
        feature = self.get_object()
        user_ids = self._ids(request, UserIDsSerializer, "user_ids")
        if self.project.enforce_feature_owners and not services.has_other_owners(feature, users=user_ids):
            raise ValidationError(NEEDS_OWNER)
        feature.owners.remove(*user_ids)
        return self._owners_response(feature)

    @GROUP_OWNERS
    @action(detail=True, methods=["POST"], url_path="add-group-owners", serializer_class=OwnedFeatureSerializer)
    def add_group_owners(self, request: Request, **kwargs: Any) -> Response:
        feature = self.get_object()
        group_ids = self._ids(request, GroupIDsSerializer, "group_ids")
        if services.possible_group_owners(self.project).filter(pk__in=group_ids).count() != len(group_ids):
            raise ValidationError("Some groups not found")
        feature.group_owners.add(*group_ids)
        return self._owners_response(feature)

    @GROUP_OWNERS
    @action(detail=True, methods=["POST"], url_path="remove-group-owners", serializer_class=OwnedFeatureSerializer)
    def remove_group_owners(self, request: Request, **kwargs: Any) -> Response:
        feature = self.get_object()
        group_ids = self._ids(request, GroupIDsSerializer, "group_ids")
        if self.project.enforce_feature_owners and not services.has_other_owners(feature, groups=group_ids):
            raise ValidationError(NEEDS_OWNER)
        feature.group_owners.remove(*group_ids)
        return self._owners_response(feature)

    def _ids(self, request: Request, serializer_class: type[BaseSerializer[Any]], field: str) -> set[int]:
        serializer = serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        return set(serializer.validated_data[field])

    def _owners_response(self, feature: Feature) -> Response:
        return Response(OwnedFeatureSerializer(self.get_queryset().get(pk=feature.pk)).data)


class FeatureByUUIDView(ProjectScopedView, RetrieveAPIView[Feature]):
    """``features/get-by-uuid/{uuid}/``."""

    rules = "features/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = FeatureSerializer
    queryset = Feature.objects.all()

    def get_queryset(self) -> QuerySet[Feature]:
        visible = visible_projects(self.actor)
        features = Feature.objects.filter(project__in=visible.values("pk"))
        return features.prefetch_related(*filters.RELATIONS)
