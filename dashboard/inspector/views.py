"""The inspector page: an environment's open streams, and the delivery of its recent events.

It needs VIEW_ENVIRONMENT. The causes of events come from the audit log and need VIEW_AUDIT_LOG in the project.
"""

import time
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from dashboard.inspector import plots
from dashboard.inspector.causes import Causes, causes_of
from dashboard.scoped_pages import EnvironmentPage
from realtime.conf import conf
from realtime.inspector.panel import Panel, panel

MAX_EVENTS = 50


class InspectorBase(EnvironmentPage):
    """Base class of the page and of its panel."""

    tab = "inspector"

    # Without a version the page is not reloaded after an event: it refreshes its panel instead.
    version = ""

    @property
    def may_see_causes(self) -> bool:
        return self.has_project_permission("VIEW_AUDIT_LOG")

    def panel(self) -> dict[str, Any]:
        """The panel as HTML, and its digest."""
        data = panel(self.environment.api_key, MAX_EVENTS)
        html = render_to_string(
            "dashboard/inspector/panel.html", {**self.context(), **self._content(data)}, self.request
        )
        return {"panel": html, "digest": sha256(html.encode()).hexdigest()[:16]}

    def _content(self, data: Panel) -> dict[str, Any]:
        may_see_causes = self.may_see_causes
        versions = [event.updated_at for event in data.events]
        causes = causes_of(self.environment, versions) if may_see_causes and versions else {}
        return {
            "inspection_enabled": conf.INSPECTS,
            "data": data,
            "processes_with_streams": [process for process in data.processes if process.streams],
            "events": [(event, causes.get(event.updated_at, Causes())) for event in data.events],
            "may_see_causes": may_see_causes,
            "propagation": plots.propagation(data.history),
            "connections": plots.connections(data.history),
            "active_minutes": [minute for minute in data.history if minute.events or minute.written or minute.streams],
            "events_in_hour": sum(minute.events for minute in data.history),
            "written": sum(minute.written for minute in data.history),
        }


class InspectorPage(InspectorBase):
    template = "dashboard/inspector/page.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        stream = f"/sse/environments/{self.environment.api_key}/stream"
        return self.render(**self.panel(), stream=stream, stream_url=request.build_absolute_uri(stream))


class InspectorPanel(InspectorBase):
    """The panel alone, for refreshes. 204 if it is unchanged: its digest equals the one in ``?digest=``."""

    template = "dashboard/inspector/panel_container.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        content = self.panel()
        is_unchanged = request.GET.get("digest") == content["digest"]
        response = HttpResponse(status=204) if is_unchanged else self.render(**content)
        # inspector.js computes the offset between the browser's clock and the server's.
        response.headers["X-Server-Time"] = f"{time.time() * 1_000:.1f}"
        return response
