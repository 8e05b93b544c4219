"""Exports and imports of features, below ``features/`` and ``projects/{project}/``."""

import json
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound
from rest_framework.generics import CreateAPIView, GenericAPIView, ListAPIView
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.pagination import FixedPages
from core.parsers import StrictJSONParser, StrictMultiPartParser
from environments.access import administered_environments, visible_environments
from environments.models import Environment
from environments.scope import EnvironmentScopedView
from features.import_export.models import FeatureExport, FeatureImport
from features.import_export.serializers import (
    FeatureExportSerializer,
    FeatureImportSerializer,
    FeatureItemSerializer,
    NewExportSerializer,
    NewImportSerializer,
)
from features.scopes import body_field, environment_by_id
from projects.scope import ProjectScopedView


@extend_schema_view(post=extend_schema(responses={201: FeatureExportSerializer}))
class CreateExportView(EnvironmentScopedView, CreateAPIView[FeatureExport]):
    """``features/create-feature-export/``. The body names the environment."""

    rules = "create-feature-export"
    serializer_class = NewExportSerializer
    queryset = FeatureExport.objects.all()

    def find_environment(self) -> Environment:
        return environment_by_id(body_field(self.request, "environment_id"), self.actor)


class DownloadExportView(EnvironmentScopedView, GenericAPIView[FeatureExport]):
    """``features/download-feature-export/{id}/``."""

    rules = "download-feature-export"
    serializer_class = FeatureItemSerializer
    queryset = FeatureExport.objects.all()

    @cached_property
    def export(self) -> FeatureExport:
        visible = visible_environments(self.actor)
        exports = FeatureExport.objects.filter(environment__in=visible.values("pk"))
        export = exports.select_related("environment__project").filter(pk=self.kwargs["export_pk"]).first()
        if export is None:
            raise NotFound("No FeatureExport matches the given query.")
        return export

    def find_environment(self) -> Environment:
        return self.export.environment

    @extend_schema(responses=FeatureItemSerializer(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        name = f"feature_export.{self.export.pk}.json"
        return Response(json.loads(self.export.data), headers={"Content-Disposition": f"attachment; filename={name}"})


@extend_schema_view(post=extend_schema(responses={201: FeatureImportSerializer}))
class ImportView(EnvironmentScopedView, CreateAPIView[FeatureImport]):
    """``features/feature-import/{environment}``: an upload (``multipart/form-data``), or JSON with the file's list."""

    rules = "feature-import"
    # New features get a state in each of the project's environments.
    locked = "project"
    parser_classes: list[type[BaseParser]] = [StrictMultiPartParser, StrictJSONParser]
    serializer_class = NewImportSerializer
    queryset = FeatureImport.objects.all()

    def find_environment(self) -> Environment | None:
        visible = visible_environments(self.actor).select_related("project__organisation")
        return visible.filter(pk=self.kwargs["environment_pk"]).first()


class AdministeredListView(ProjectScopedView, ListAPIView[Any]):
    """Base of the lists of a project: what belongs to the environments that the caller is an admin of."""

    pagination_class = FixedPages

    def get_queryset(self) -> QuerySet[Any]:
        environments = administered_environments(self.actor).filter(project=self.project)
        return super().get_queryset().filter(environment__in=environments.values("pk"))


class ExportsView(AdministeredListView):
    """``projects/{project}/feature-exports/``: those of the environments that the caller is an admin of."""

    rules = "feature-exports"
    serializer_class = FeatureExportSerializer
    queryset = FeatureExport.objects.select_related("environment").defer("data")


class ImportsView(AdministeredListView):
    """``projects/{project}/feature-imports/``: those into the environments that the caller is an admin of."""

    rules = "feature-imports"
    serializer_class = FeatureImportSerializer
    queryset = FeatureImport.objects.all()
