"""``projects/{project}/features/{feature}/mv-options/``."""

from functools import cached_property

from django.db.models import QuerySet
from rest_framework.generics import RetrieveAPIView, get_object_or_404
from rest_framework.viewsets import ModelViewSet

from core.pagination import FixedPages
from features.models import Feature
from features.multivariate import services
from features.multivariate.models import MultivariateFeatureOption
from features.multivariate.serializers import OptionSerializer
from projects.access import visible_projects
from projects.scope import ProjectScopedView


class OptionViewSet(ProjectScopedView, ModelViewSet[MultivariateFeatureOption]):
    rules = "mv-options"
    locked = "project"
    pagination_class = FixedPages
    serializer_class = OptionSerializer
    queryset = MultivariateFeatureOption.objects.all()

    @cached_property
    def feature(self) -> Feature:
        return get_object_or_404(self.project.features, pk=self.kwargs["feature_pk"])

    def get_queryset(self) -> QuerySet[MultivariateFeatureOption]:
        return MultivariateFeatureOption.objects.filter(feature=self.feature)

    def perform_destroy(self, instance: MultivariateFeatureOption) -> None:
        services.remove_option(instance)


class OptionByUUIDView(ProjectScopedView, RetrieveAPIView[MultivariateFeatureOption]):
    """``multivariate/options/get-by-uuid/{uuid}/``."""

    rules = "mv-options/get-by-uuid"
    lookup_field = "uuid"
    serializer_class = OptionSerializer
    queryset = MultivariateFeatureOption.objects.all()

    def get_queryset(self) -> QuerySet[MultivariateFeatureOption]:
        visible = visible_projects(self.actor)
        return MultivariateFeatureOption.objects.filter(feature__project__in=visible.values("pk"))
