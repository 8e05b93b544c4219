"""``projects/`` in the Admin API, with permissions."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from core import conflicts
from core.paths import UUID
from core.references import body_id
from organisations.access import visible_organisations
from organisations.models import Organisation
from organisations.permissions import catalogue
from organisations.permissions.views import GroupPermissionsViewSet, ScopePermissionsMixin, UserPermissionsViewSet
from organisations.scope import OrganisationScopedView
from projects.access import is_project_admin, visible_projects
from projects.models import Project, UserPermissionGroupProjectPermission, UserProjectPermission
from projects.scope import ProjectScopedView
from projects.serializers import (
    NAME_TAKEN,
    CreateProjectSerializer,
    GroupProjectPermissionSerializer,
    ListedGroupProjectPermissionSerializer,
    ListedUserProjectPermissionSerializer,
    ProjectDetailSerializer,
    ProjectFilterSerializer,
    ProjectSerializer,
    UpdateProjectSerializer,
    UserProjectPermissionSerializer,
)
from projects.services import delete_project


@extend_schema(tags=["projects"])
@extend_schema_view(list=extend_schema(parameters=[ProjectFilterSerializer]))
class ProjectViewSet(ScopePermissionsMixin, ProjectScopedView, ModelViewSet[Project]):
    """The projects that the caller may see."""

    rules = "projects"
    scope = "project"
    available_permissions = catalogue.PROJECT
    queryset = Project.objects.none()
    pagination_class = None
    lookup_url_kwarg = "project_pk"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self.locked = None if self.action == "create" else "project"
        super().initial(request, *args, **kwargs)

    def find_organisation(self) -> Organisation | None:
        """The body names the organisation of a new project."""
        organisations = visible_organisations(self.actor)
        return organisations.filter(pk=body_id(self.request, "organisation")).first()

    def get_queryset(self) -> QuerySet[Project]:
        projects = visible_projects(self.actor)
        if self.action == "list":
            query = ProjectFilterSerializer(data=self.request.query_params)
            query.is_valid(raise_exception=True)
            projects = projects.filter(**query.validated_data)
        return projects

    def perform_destroy(self, instance: Project) -> None:
        delete_project(instance)

    def get_serializer_class(self) -> type[BaseSerializer]:
        serializers: dict[str, type[BaseSerializer]] = {
            "create": CreateProjectSerializer,
            "update": UpdateProjectSerializer,
            "partial_update": UpdateProjectSerializer,
            "retrieve": ProjectDetailSerializer,
        }
        return serializers.get(self.action, ProjectSerializer)

    def perform_create(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(NAME_TAKEN):
            serializer.save()

    def perform_update(self, serializer: BaseSerializer) -> None:
        with conflicts.as_validation_error(NAME_TAKEN):
            serializer.save()

    @extend_schema(operation_id="projects_retrieve_by_uuid")
    @action(detail=False, url_path=rf"get-by-uuid/(?P<uuid>{UUID})")
    def get_by_uuid(self, request: Request, uuid: str) -> Response:
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), uuid=uuid)).data)

    def is_admin(self) -> bool:
        return is_project_admin(self.actor, self.project)


@extend_schema(tags=["organisations"])
class OrganisationProjectViewSet(OrganisationScopedView, GenericViewSet[Organisation]):
    """The projects of an organisation: ``organisations/{organisation}/projects/``."""

    rules = "organisations"
    queryset = Organisation.objects.none()
    serializer_class = ProjectSerializer
    lookup_url_kwarg = "organisation_pk"

    @extend_schema(responses=ProjectSerializer(many=True))
    @action(detail=True, pagination_class=None)
    def projects(self, request: Request, organisation_pk: str) -> Response:
        """The organisation's projects that the caller may see."""
        projects = visible_projects(self.actor).filter(organisation=self.organisation)
        return Response(ProjectSerializer(projects, many=True).data)


@extend_schema(tags=["projects"])
class UserProjectPermissionViewSet(ProjectScopedView, UserPermissionsViewSet):
    """The permissions of users in the project."""

    rules = "projects/user-permissions"
    scope = "project"
    queryset = UserProjectPermission.objects.all()
    serializer_class = UserProjectPermissionSerializer
    list_serializer_class = ListedUserProjectPermissionSerializer


@extend_schema(tags=["projects"])
class GroupProjectPermissionViewSet(ProjectScopedView, GroupPermissionsViewSet):
    """The permissions of groups in the project."""

    rules = "projects/user-group-permissions"
    scope = "project"
    queryset = UserPermissionGroupProjectPermission.objects.all()
    serializer_class = GroupProjectPermissionSerializer
    list_serializer_class = ListedGroupProjectPermissionSerializer
