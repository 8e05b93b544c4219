"""``/api/__future__/``: a flag as a whole, as Flagsmith's command line writes it.

Whoever may see an environment but not change it is told so (403), as everywhere; Flagsmith says 404 here.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from environments.scope import EnvironmentScopedView
from features.future import services
from features.future.errors import ChangeRequestsEnabled
from features.future.serializers import FlagSerializer, WorkflowOnSerializer
from features.models import Feature

PERMISSIONS = {
    "environment_default": "UPDATE_FEATURE_STATE",
    "segment_overrides": "MANAGE_SEGMENT_OVERRIDES",
}


WRITE = extend_schema(responses={200: FlagSerializer, 409: WorkflowOnSerializer})


class EnvironmentFlagView(EnvironmentScopedView, GenericAPIView[Feature]):
    """What both end points do: find the flag, refuse to change it beside a change request, and show all of it."""

    locked = "environment"
    serializer_class = FlagSerializer
    queryset = Feature.objects.all()

    def get_queryset(self) -> QuerySet[Feature]:
        return Feature.objects.filter(project=self.environment.project_id).prefetch_related("multivariate_options")

    @cached_property
    def feature(self) -> Feature:
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["feature_pk"])

    def require_no_workflow(self) -> None:
        """Raise ChangeRequestsEnabled if that is so by now: the environment was read before the lock."""
        self.environment.refresh_from_db(fields=["minimum_change_request_approvals"])
        if self.environment.minimum_change_request_approvals is not None:
            raise ChangeRequestsEnabled

    def shown(self) -> Response:
        return Response(FlagSerializer(services.read_flag(self.environment, self.feature)).data)


class FlagView(EnvironmentFlagView):
    """``environments/{api_key}/features/{feature}/``."""

    rules = "future/flag"

    @property
    def permissions(self) -> list[str]:
        """The keys that a write needs: those of the parts that its body has."""
        body = self.request.data
        parts = body if isinstance(body, Mapping) else ()
        return [key for name, key in PERMISSIONS.items() if name in parts] or ["UPDATE_FEATURE_STATE"]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown()

    @WRITE
    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change what the body has, and leave all else as it is."""
        return self._change(reset=False)

    @WRITE
    def put(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Replace the parts that the body has; what they leave out begins anew."""
        return self._change(reset=True)

    def _change(self, *, reset: bool) -> Response:
        if not isinstance(self.request.data, Mapping):
            raise ValidationError(["Expected an object."])
        feature = self.feature
        self.require_no_workflow()
        serializer = FlagSerializer(data=self.request.data, context={"feature": feature, "replace": reset})
        serializer.is_valid(raise_exception=True)
        services.change_flag(self.environment, feature, reset=reset, **serializer.validated_data)
        return self.shown()


class SegmentOverrideView(EnvironmentFlagView):
    """``environments/{api_key}/features/{feature}/segment-overrides/{segment}/``."""

    rules = "future/segment-override"

    @WRITE
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the segment's override, and answer with what is left of the flag."""
        feature = self.feature
        self.require_no_workflow()
        services.remove_override(self.environment, feature, int(self.kwargs["segment_pk"]))
        return self.shown()
