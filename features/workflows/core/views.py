"""Change requests of environments: created and listed below ``environments/``, otherwise below ``features/``."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast, Coalesce, Least
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
from features.workflows.core.details import detailed_requests
from features.workflows.core.models import ChangeRequest, ChangeSet, PlannedChange
from features.workflows.core.serializers import (
    ChangeRequestFilterSerializer,
    ChangeRequestSerializer,
    ListedChangeRequestSerializer,
    RetrievedChangeRequestSerializer,
)


class WorkflowView(EnvironmentScopedView):
    """Base view whose errors repeat ``detail`` in ``message``: clients of Flagsmith read either."""

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(response.data, dict) and "detail" in response.data:
            response.data.setdefault("message", response.data["detail"])
        return response


class DecisionMixin(WorkflowView):
    """The actions ``approve`` and ``commit`` of change requests."""

    get_object: Callable[[], ChangeRequest]
    get_serializer: Callable[..., BaseSerializer[ChangeRequest]]

    def perform_commit(self, instance: ChangeRequest) -> None:
        raise NotImplementedError

    @extend_schema(request=None)
    @action(detail=True, methods=["POST"])
    def approve(self, request: Request, **kwargs: Any) -> Response:
        services.approve(self.get_object(), self.actor)
        return self._response()

    @extend_schema(request=None)
    @action(detail=True, methods=["POST"])
    def commit(self, request: Request, **kwargs: Any) -> Response:
        self.perform_commit(self.get_object())
        return self._response()

    def _response(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


def filter_requests(queryset: QuerySet[ChangeRequest], parameters: dict[str, Any]) -> QuerySet[ChangeRequest]:
    """Apply the parameters of ``RequestFilterSerializer`` that all lists support."""
    if parameters.get("committed") is not None:
        queryset = queryset.filter(committed_at__isnull=not parameters["committed"])
    if "search" in parameters:
        queryset = queryset.filter(title__icontains=parameters["search"])
    return queryset


def sets_with_segment(segment: int) -> QuerySet[ChangeSet]:
    """Change sets that remove or order the override of a segment.

    They are found in the text of the JSON, since SQLite has no lookup for items of a list. A name cannot match:
    its quotes are escaped.
    """
    text = f'"id": {segment},'
    sets = ChangeSet.objects.annotate(removed_text=Cast("removed", TextField()), order_text=Cast("order", TextField()))
    return sets.filter(Q(removed_text__contains=text) | Q(order_text__contains=text))


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
        scheduled = PlannedChange.objects.filter(change_request=OuterRef("pk"), live_from__isnull=False)
        sets = ChangeSet.objects.filter(change_request=OuterRef("pk"), live_from__isnull=False)
        first, first_of_sets = (
            Subquery(each.order_by("live_from").values("live_from")[:1]) for each in (scheduled, sets)
        )
        requests = ChangeRequest.objects.filter(environment=self.environment)
        # On SQLite, Least is null if either time is.
        earliest = Least(Coalesce(first, first_of_sets), Coalesce(first_of_sets, first))
        return requests.annotate(live_from=earliest)

    def filter_queryset(self, queryset: Any) -> QuerySet[ChangeRequest]:
        parameters = ChangeRequestFilterSerializer.read(self.request.query_params)
        queryset = filter_requests(queryset, parameters)
        if "live_from_after" in parameters:
            queryset = queryset.filter(live_from__gt=parameters["live_from_after"])
        if "feature_id" in parameters:
            of_feature = {"change_request": OuterRef("pk"), "feature_id": parameters["feature_id"]}
            changes, sets = PlannedChange.objects.filter(**of_feature), ChangeSet.objects.filter(**of_feature)
            queryset = queryset.filter(Exists(changes) | Exists(sets))
        if "segment_id" in parameters:
            segment, of_request = parameters["segment_id"], {"change_request": OuterRef("pk")}
            changes = PlannedChange.objects.filter(**of_request, segment_id=segment)
            queryset = queryset.filter(Exists(changes) | Exists(sets_with_segment(segment).filter(**of_request)))
        return queryset


class ChangeRequestViewSet(
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    DecisionMixin,
    GenericViewSet[ChangeRequest],
):
    """``features/workflows/change-requests/{id}/``. The environment comes from the change request."""

    rules = "change-requests"
    locked = "environment"
    queryset = ChangeRequest.objects.all()

    @cached_property
    def unlocked_request(self) -> ChangeRequest:
        """The change request of the path, read before the environment is locked."""
        visible = visible_environments(self.actor)
        requests = ChangeRequest.objects.filter(environment__in=visible.values("pk"))
        request = requests.select_related("environment__project").filter(pk=self.kwargs["pk"]).first()
        if request is None:
            raise NotFound("No ChangeRequest matches the given query.")
        return request

    def find_environment(self) -> Environment | None:
        return self.unlocked_request.environment

    def get_queryset(self) -> QuerySet[ChangeRequest]:
        return detailed_requests().filter(environment=self.environment)

    def get_serializer_class(self) -> type[BaseSerializer[ChangeRequest]]:
        if self.action in ("update", "partial_update"):
            return ChangeRequestSerializer
        return RetrievedChangeRequestSerializer

    def perform_destroy(self, instance: ChangeRequest) -> None:
        services.delete_change_request(instance)

    def perform_commit(self, instance: ChangeRequest) -> None:
        services.commit(instance, self.actor)
