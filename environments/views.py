"""``environments/`` in the Admin API, with server-side keys and permissions."""

import re

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.mixins import CreateModelMixin, DestroyModelMixin, ListModelMixin, UpdateModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from core import conflicts
from core.pagination import FixedPages
from core.paths import ID, UUID
from core.references import body_id
from environments.access import is_environment_admin, visible_environments
from environments.identities.traits.models import Trait
from environments.models import (
    Environment,
    EnvironmentAPIKey,
    UserEnvironmentPermission,
    UserPermissionGroupEnvironmentPermission,
)
from environments.scope import EnvironmentScopedView, EnvironmentsView
from environments.serializers import (
    KEY_TAKEN,
    CloneEnvironmentSerializer,
    CreateEnvironmentSerializer,
    DeleteTraitsSerializer,
    EnvironmentAPIKeySerializer,
    EnvironmentDetailSerializer,
    EnvironmentSerializer,
    EnvironmentWithMetadataSerializer,
    GroupEnvironmentPermissionSerializer,
    ListedGroupEnvironmentPermissionSerializer,
    ListedUserEnvironmentPermissionSerializer,
    TraitKeysSerializer,
    UpdateEnvironmentSerializer,
    UserEnvironmentPermissionSerializer,
)
from environments.services import delete_environment, delete_traits
from organisations.permissions import catalogue
from organisations.permissions.views import GroupPermissionsViewSet, ScopePermissionsMixin, UserPermissionsViewSet
from projects.access import visible_projects
from projects.models import Project
from projects.scope import ProjectScopedView


@extend_schema(tags=["environments"])
@extend_schema_view(list=extend_schema(parameters=[OpenApiParameter("project", int, required=True)]))
class EnvironmentViewSet(ScopePermissionsMixin, EnvironmentsView, ModelViewSet[Environment]):
    """Environments. All writes lock the project: names are unique in it, and its features have a state in each."""

    scope = "environment"
    available_permissions = catalogue.ENVIRONMENT
    locked = "project"
    pagination_class = FixedPages

    def find_project(self) -> Project | None:
        """The body names the project of a new environment."""
        if self.action != "create":
            return super().find_project()
        return visible_projects(self.actor).filter(pk=body_id(self.request, "project")).first()

    def get_queryset(self) -> QuerySet[Environment]:
        environments = visible_environments(self.actor)
        return environments.filter(project=self.listed_project()) if self.action == "list" else environments

    def listed_project(self) -> int:
        """The id in the parameter ``project``. All invalid values get the same message, as in Flagsmith."""
        text = self.request.query_params.get("project", "")
        project_id = int(text) if re.fullmatch(ID, text) else None
        if project_id is None or not visible_projects(self.actor).filter(pk=project_id).exists():
            raise ValidationError("Invalid or missing value for project parameter.")
        return project_id

    def get_serializer_class(self) -> type[BaseSerializer]:
        serializers: dict[str, type[BaseSerializer]] = {
            "create": CreateEnvironmentSerializer,
            "update": UpdateEnvironmentSerializer,
            "partial_update": UpdateEnvironmentSerializer,
            "retrieve": EnvironmentDetailSerializer,
            "clone": CloneEnvironmentSerializer,
            "trait_keys": TraitKeysSerializer,
            "delete_traits": DeleteTraitsSerializer,
        }
        return serializers.get(self.action, EnvironmentWithMetadataSerializer)

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(KEY_TAKEN, "api_key"):
            serializer.save()

    def perform_update(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(KEY_TAKEN, "api_key"):
            serializer.save()

    def perform_destroy(self, instance: Environment) -> None:
        delete_environment(instance)

    @extend_schema(operation_id="environments_retrieve_by_uuid")
    @action(detail=False, url_path=rf"get-by-uuid/(?P<uuid>{UUID})")
    def get_by_uuid(self, request: Request, uuid: str) -> Response:
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), uuid=uuid)).data)

    @extend_schema(responses=CloneEnvironmentSerializer)
    @action(detail=True, methods=["POST"])
    def clone(self, request: Request, environment_api_key: str) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data)

    def is_admin(self) -> bool:
        return is_environment_admin(self.actor, self.environment)

    @action(detail=True, url_path="trait-keys")
    def trait_keys(self, request: Request, environment_api_key: str) -> Response:
        traits = Trait.objects.filter(identity__environment=self.environment).order_by("trait_key")
        keys = traits.values_list("trait_key", flat=True).distinct()
        return Response(self.get_serializer({"keys": list(keys)}).data)

    @extend_schema(responses={200: None})
    @action(detail=True, methods=["POST"], url_path="delete-traits", locked=None)
    def delete_traits(self, request: Request, environment_api_key: str) -> Response:
        """Delete the traits with this key of all identities of the environment."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        delete_traits(self.environment, serializer.validated_data["key"])
        return Response()


@extend_schema(tags=["projects"])
class ProjectEnvironmentViewSet(ProjectScopedView, GenericViewSet[Project]):
    """The environments of a project: ``projects/{project}/environments/``."""

    rules = "projects"
    queryset = Project.objects.none()
    serializer_class = EnvironmentSerializer
    pagination_class = None
    lookup_url_kwarg = "project_pk"

    @extend_schema(responses=EnvironmentSerializer(many=True))
    @action(detail=True)
    def environments(self, request: Request, project_pk: str) -> Response:
        return Response(EnvironmentSerializer(self.project.environments.all(), many=True).data)


@extend_schema(tags=["environments"])
class EnvironmentAPIKeyViewSet(
    EnvironmentScopedView,
    ListModelMixin,
    CreateModelMixin,
    UpdateModelMixin,
    DestroyModelMixin,
    GenericViewSet[EnvironmentAPIKey],
):
    """An environment's server-side keys."""

    rules = "environments/api-keys"
    queryset = EnvironmentAPIKey.objects.none()
    serializer_class = EnvironmentAPIKeySerializer
    pagination_class = None

    def get_queryset(self) -> QuerySet[EnvironmentAPIKey]:
        return self.environment.api_keys.all()

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(environment=self.environment)


@extend_schema(tags=["environments"])
class UserEnvironmentPermissionViewSet(EnvironmentScopedView, UserPermissionsViewSet):
    """The permissions of users in the environment."""

    rules = "environments/user-permissions"
    scope = "environment"
    queryset = UserEnvironmentPermission.objects.all()
    serializer_class = UserEnvironmentPermissionSerializer
    list_serializer_class = ListedUserEnvironmentPermissionSerializer


@extend_schema(tags=["environments"])
class GroupEnvironmentPermissionViewSet(EnvironmentScopedView, GroupPermissionsViewSet):
    """The permissions of groups in the environment."""

    rules = "environments/user-group-permissions"
    scope = "environment"
    queryset = UserPermissionGroupEnvironmentPermission.objects.all()
    serializer_class = GroupEnvironmentPermissionSerializer
    list_serializer_class = ListedGroupEnvironmentPermissionSerializer
