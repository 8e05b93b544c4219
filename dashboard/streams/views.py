"""The inspector page: an environment's open streams, and the delivery of its recent events.

It needs VIEW_ENVIRONMENT. The causes of events come from the audit log and need VIEW_AUDIT_LOG in the project.
"""

import time
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from dashboard.scoped_pages import EnvironmentPage
from dashboard.streams import plots
from diagnosis import reasons
from diagnosis.causes import newest_versions
from diagnosis.views import MAX_EVENTS
from realtime import inspector
from realtime.inspector.panel import Panel, panel


class InspectorBase(EnvironmentPage):
    """Base class of the page and of its panel."""

    tab = "inspector"

    # Without a version the page is not reloaded after an event: it refreshes its panel instead.
    version = ""

    @property
    def may_see_causes(self) -> bool:
        return self.has_project_permission("VIEW_AUDIT_LOG")

    def panel(self, counted_key: str = "") -> dict[str, Any]:
        """The panel as HTML, its digest, and the number of open streams with a key."""
        names = reasons.server_keys(self.environment)
        data = panel(self.environment.api_key, MAX_EVENTS, other_keys={*names, counted_key})
        server_keys = reasons.streams_with_server_keys(data, names, may_see_names=self.is_environment_admin)
        content = {**self.context(), **self._content(data), "server_keys": server_keys}
        html = render_to_string("dashboard/streams/panel.html", content, self.request)
        digest = sha256(html.encode()).hexdigest()[:16]
        return {"panel": html, "digest": digest, "checked_streams": data.streams_of[counted_key]}

    def _content(self, data: Panel) -> dict[str, Any]:
        return {
            "inspection_enabled": inspector.is_recording(),
            "data": data,
            "processes_with_streams": [process for process in data.processes if process.streams],
            "last_event": next(iter(data.events), None),
            "entries": newest_versions(self.environment, data, MAX_EVENTS, with_causes=self.may_see_causes),
            "may_see_causes": self.may_see_causes,
            "propagation": plots.propagation(data.history),
            "connections": plots.connections(data.history),
            "active_minutes": [minute for minute in data.history if minute.events or minute.written or minute.streams],
            "events_in_hour": sum(minute.events for minute in data.history),
            "written": sum(minute.written for minute in data.history),
        }


class InspectorPage(InspectorBase):
    """The page. A POST asks about a key (``reasons.check``): not a GET, because URLs are logged and keys are secret."""

    template = "dashboard/streams/page.html"

    # The form has a key, which may be secret.
    keeps_input = False

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return self._render_page()

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        checked = reasons.check(self.environment, self.environments, request.POST.get("key", ""))
        return self._render_page(checked.counted_key, checked=checked)

    def _render_page(self, counted_key: str = "", **content: Any) -> HttpResponse:
        stream = f"/sse/environments/{self.environment.api_key}/stream"
        stream_url = self.request.build_absolute_uri(stream)
        return self.render(**self.panel(counted_key), stream=stream, stream_url=stream_url, **content)


class InspectorPanel(InspectorBase):
    """The panel alone, for refreshes. 204 if it is unchanged: its digest equals the one in ``?digest=``."""

    template = "dashboard/streams/panel_container.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        content = self.panel()
        is_unchanged = request.GET.get("digest") == content["digest"]
        response = HttpResponse(status=204) if is_unchanged else self.render(**content)
        # inspector.js computes the offset between the browser's clock and the server's.
        response.headers["X-Server-Time"] = f"{time.time() * 1_000:.1f}"
        return response
