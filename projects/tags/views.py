"""``projects/{project}/tags/``."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from core.pagination import FixedPages
from core.paths import UUID
from projects.scope import ProjectScopedView
from projects.tags.models import Tag
from projects.tags.serializers import TagSerializer


@extend_schema(tags=["tags"])
class TagViewSet(ProjectScopedView, ModelViewSet[Tag]):
    """A project's tags. SDKs do not read them, so nothing is locked and no event is published."""

    rules = "projects/tags"
    queryset = Tag.objects.none()
    serializer_class = TagSerializer
    pagination_class = FixedPages

    def get_queryset(self) -> QuerySet[Tag]:
        return self.project.tags.all()

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.save(project=self.project)

    def perform_destroy(self, instance: Tag) -> None:
        if instance.is_system_tag:
            raise ValidationError({"message": "Cannot delete a system tag."})
        instance.delete()

    @extend_schema(operation_id="projects_tags_retrieve_by_uuid")
    @action(detail=False, url_path=rf"get-by-uuid/(?P<uuid>{UUID})")
    def get_by_uuid(self, request: Request, project_pk: str, uuid: str) -> Response:
        return Response(self.get_serializer(get_object_or_404(self.get_queryset(), uuid=uuid)).data)
