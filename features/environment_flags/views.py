"""``/api/__future__/``: a flag with all its segment overrides in one request, as Flagsmith's command line uses it.

A caller who may view the environment but not change it gets 403, as in all endpoints; Flagsmith responds with 404.
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
from features.environment_flags import services
from features.environment_flags.errors import ChangeRequestsEnabled
from features.environment_flags.serializers import ChangeRequestsEnabledSerializer, FlagSerializer
from features.models import Feature

PERMISSIONS = {
    "environment_default": "UPDATE_FEATURE_STATE",
    "segment_overrides": "MANAGE_SEGMENT_OVERRIDES",
}


WRITE = extend_schema(responses={200: FlagSerializer, 409: ChangeRequestsEnabledSerializer})


class EnvironmentFlagView(EnvironmentScopedView, GenericAPIView[Feature]):
    """Base of both endpoints: reads the flag, and rejects direct changes if the environment uses change requests."""

    locked = "environment"
    serializer_class = FlagSerializer
    queryset = Feature.objects.all()

    def get_queryset(self) -> QuerySet[Feature]:
        return Feature.objects.filter(project=self.environment.project_id).prefetch_related("multivariate_options")

    @cached_property
    def feature(self) -> Feature:
        return get_object_or_404(self.get_queryset(), pk=self.kwargs["feature_pk"])

    def require_direct_changes(self) -> None:
        """Raise ChangeRequestsEnabled if the environment uses change requests. Read again, under the lock."""
        self.environment.refresh_from_db(fields=["minimum_change_request_approvals"])
        if self.environment.minimum_change_request_approvals is not None:
            raise ChangeRequestsEnabled

    def flag_response(self) -> Response:
        return Response(FlagSerializer(services.read_flag(self.environment, self.feature)).data)


class FlagView(EnvironmentFlagView):
    """``environments/{api_key}/features/{feature}/``."""

    rules = "environment-flag"

    @property
    def permissions(self) -> list[str]:
        """The permissions for the parts of the flag that the body has."""
        body = self.request.data
        parts = body if isinstance(body, Mapping) else ()
        return [key for name, key in PERMISSIONS.items() if name in parts] or ["UPDATE_FEATURE_STATE"]

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.flag_response()

    @WRITE
    def patch(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change the fields of the body; other fields are unchanged."""
        return self._change(replace_parts=False)

    @WRITE
    def put(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Replace the parts of the body; their missing fields are reset to their initial values."""
        return self._change(replace_parts=True)

    def _change(self, *, replace_parts: bool) -> Response:
        if not isinstance(self.request.data, Mapping):
            raise ValidationError(["Expected an object."])
        feature = self.feature
        self.require_direct_changes()
        serializer = FlagSerializer(data=self.request.data, context={"feature": feature, "replace": replace_parts})
        serializer.is_valid(raise_exception=True)
        services.change_flag(self.environment, feature, replace_parts=replace_parts, **serializer.validated_data)
        return self.flag_response()


class SegmentOverrideView(EnvironmentFlagView):
    """``environments/{api_key}/features/{feature}/segment-overrides/{segment}/``."""

    rules = "environment-flag/segment-override"

    @WRITE
    def delete(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Remove the segment's override, and return the flag."""
        feature = self.feature
        self.require_direct_changes()
        services.remove_override(self.environment, feature, int(self.kwargs["segment_pk"]))
        return self.flag_response()
