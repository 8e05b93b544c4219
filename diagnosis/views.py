"""``inspection/`` and ``check-key/`` below ``environments/{environment}/`` of the Admin API, for the page Live too."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from diagnosis import reasons
from diagnosis.causes import newest_versions
from diagnosis.serializers import CheckedKeySerializer, InspectionSerializer, KeySerializer
from environments.access import is_environment_admin, visible_environments
from environments.models import Environment
from environments.scope import EnvironmentsView
from projects.access import has_project_permission
from realtime.inspector.panel import panel

MAX_EVENTS = 50


@extend_schema(tags=["environments"])
class InspectionViewSet(EnvironmentsView, GenericViewSet[Environment]):
    """An environment's streams and events."""

    @extend_schema(responses=InspectionSerializer)
    @action(detail=True)
    def inspection(self, request: Request, environment_api_key: str) -> Response:
        """The environment's open streams, the delivery of its newest events, and the minutes of the last hour."""
        environment = self.environment
        names = reasons.server_keys(environment)
        data = panel(environment.api_key, MAX_EVENTS, other_keys=names)
        is_admin = is_environment_admin(self.actor, environment)
        with_causes = has_project_permission(self.actor, self.project, "VIEW_AUDIT_LOG")
        content: Any = {
            "gate_closed_reason": reasons.gate_closed_reason(self.project),
            "streams": data.streams,
            "windows": data.windows,
            "server_keys": [
                {"name": name, "streams": number}
                for name, number in reasons.streams_with_server_keys(data, names, may_see_names=is_admin)
            ],
            "processes": data.processes,
            "versions": newest_versions(environment, data, MAX_EVENTS, with_causes=with_causes),
            "minutes": data.history,
        }
        return Response(InspectionSerializer(content).data)

    @extend_schema(request=KeySerializer, responses=CheckedKeySerializer, filters=False)
    @action(detail=True, methods=["POST"], url_path="check-key")
    def check_key(self, request: Request, environment_api_key: str) -> Response:
        """What a stream with a key receives. A POST, because addresses are logged, and keys may be secret."""
        body = KeySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        visible = visible_environments(self.actor).filter(project=self.project.pk)
        checked = reasons.check(self.environment, visible, body.validated_data["key"])
        streams = panel(checked.counted_key, 0).streams if checked.counted_key else None
        content = {"text": checked.text, "is_right": checked.is_right, "streams": streams}
        return Response(CheckedKeySerializer(content).data)
