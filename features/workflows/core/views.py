"""An environment's change requests: made and listed below the environment, all else below the features."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.generics import CreateAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from core.pagination import LargePages
from environments.access import visible_environments
from environments.models import Environment
from environments.scope import EnvironmentScopedView
from features.workflows.core import services
from features.workflows.core.models import ChangeRequest, PlannedChange
from features.workflows.core.reading import whole
from features.workflows.core.serializers import (
    ChangeRequestFilterSerializer,
    ChangeRequestSerializer,
    ListedChangeRequestSerializer,
    RetrievedChangeRequestSerializer,
)


class WorkflowView(EnvironmentScopedView):
    """A view whose refusals say the same in ``message`` as in ``detail``: clients of Flagsmith read either."""

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(response.data, dict) and "detail" in response.data:
            response.data.setdefault("message", response.data["detail"])
        return response


class DecisionMixin(WorkflowView):
    """Approving and committing a change request, an environment's or a project's."""

    get_object: Callable[[], ChangeRequest]
    get_serializer: Callable[..., BaseSerializer[ChangeRequest]]

    def perform_commit(self, instance: ChangeRequest) -> None:
        raise NotImplementedError

    @extend_schema(request=None)
    @action(detail=True, methods=["POST"])
    def approve(self, request: Request, **kwargs: Any) -> Response:
        services.approve(self.get_object(), self.actor)
        return self._answer()

    @extend_schema(request=None)
    @action(detail=True, methods=["POST"])
    def commit(self, request: Request, **kwargs: Any) -> Response:
        self.perform_commit(self.get_object())
        return self._answer()

    def _answer(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


def filtered(queryset: QuerySet[ChangeRequest], wanted: dict[str, Any]) -> QuerySet[ChangeRequest]:
    """The requests that a list's query asks for, as far as any list can be asked."""
    if wanted.get("committed") is not None:
        queryset = queryset.filter(committed_at__isnull=not wanted["committed"])
    if "search" in wanted:
        queryset = queryset.filter(title__icontains=wanted["search"])
    return queryset


class CreateChangeRequestView(WorkflowView, CreateAPIView[ChangeRequest]):
    """``environments/{api_key}/create-change-request/``."""

    rules = "create-change-request"
    locked = "environment"
    serializer_class = ChangeRequestSerializer
    queryset = ChangeRequest.objects.all()


@extend_schema(parameters=[ChangeRequestFilterSerializer])
class ListChangeRequestsView(WorkflowView, ListAPIView[ChangeRequest]):
    """``environments/{api_key}/list-change-requests/``, newest first."""

    rules = "list-change-requests"
    pagination_class = LargePages
    serializer_class = ListedChangeRequestSerializer
    queryset = ChangeRequest.objects.all()

    def get_queryset(self) -> QuerySet[ChangeRequest]:
        dated = PlannedChange.objects.filter(change_request=OuterRef("pk"), live_from__isnull=False)
        first = dated.order_by("live_from").values("live_from")[:1]
        return ChangeRequest.objects.filter(environment=self.environment).annotate(live_from=Subquery(first))

    def filter_queryset(self, queryset: Any) -> QuerySet[ChangeRequest]:
        wanted = ChangeRequestFilterSerializer.read(self.request.query_params)
        queryset = filtered(queryset, wanted)
        if "live_from_after" in wanted:
            queryset = queryset.filter(live_from__gt=wanted["live_from_after"])
        for name in ("feature_id", "segment_id"):
            if name in wanted:
                changes = PlannedChange.objects.filter(change_request=OuterRef("pk"), **{name: wanted[name]})
                queryset = queryset.filter(Exists(changes))
        return queryset


class ChangeRequestViewSet(
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    DecisionMixin,
    GenericViewSet[ChangeRequest],
):
    """``features/workflows/change-requests/{id}/``. The request itself says which environment it is about."""

    rules = "change-requests"
    locked = "environment"
    queryset = ChangeRequest.objects.all()

    @cached_property
    def addressed(self) -> ChangeRequest:
        """The request that the path names, as it was before the lock."""
        visible = visible_environments(self.actor)
        requests = ChangeRequest.objects.filter(environment__in=visible.values("pk"))
        request = requests.select_related("environment__project").filter(pk=self.kwargs["pk"]).first()
        if request is None:
            raise NotFound("No ChangeRequest matches the given query.")
        return request

    def find_environment(self) -> Environment | None:
        return self.addressed.environment

    def get_queryset(self) -> QuerySet[ChangeRequest]:
        return whole().filter(environment=self.environment)

    def get_serializer_class(self) -> type[BaseSerializer[ChangeRequest]]:
        if self.action in ("update", "partial_update"):
            return ChangeRequestSerializer
        return RetrievedChangeRequestSerializer

    def perform_destroy(self, instance: ChangeRequest) -> None:
        services.delete_change_request(instance)

    def perform_commit(self, instance: ChangeRequest) -> None:
        services.commit(instance, self.actor)
