"""The inspector: who streams this environment now, and what became of each event.

Whoever may view the environment sees it. Who changed what is the audit log's, and shown to those who may read that:
with VIEW_AUDIT_LOG in the project, as the API has it.
"""

import time
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from dashboard.live import plots
from dashboard.live.causes import Causes, causes_of
from dashboard.places import EnvironmentPage
from realtime.conf import conf
from realtime.inspector.panel import Panel, panel

EVENTS = 50


class Inspector(EnvironmentPage):
    """What the page and its panel have in common."""

    tab = "live"

    # Not the version that other pages have: this one is not replaced whole, only its panel is.
    version = ""

    @property
    def may_see_causes(self) -> bool:
        return self.may_in_project("VIEW_AUDIT_LOG")

    def panel(self) -> dict[str, Any]:
        """The panel as HTML, and a mark of it, by which a browser knows whether it has it."""
        found = panel(self.environment.api_key, EVENTS)
        text = render_to_string("dashboard/live/panel.html", {**self.context(), **self._content(found)}, self.request)
        return {"panel": text, "mark": sha256(text.encode()).hexdigest()[:16]}

    def _content(self, found: Panel) -> dict[str, Any]:
        sees = self.may_see_causes
        versions = [event.updated_at for event in found.events]
        causes = causes_of(self.environment, versions) if sees and versions else {}
        return {
            "inspects": conf.INSPECTS,
            "found": found,
            "serving": [process for process in found.processes if process.streams],
            "events": [(event, causes.get(event.updated_at, Causes())) for event in found.events],
            "sees_causes": sees,
            "propagation": plots.propagation(found.history),
            "connections": plots.connections(found.history),
            "busy": [minute for minute in found.history if minute.events or minute.written or minute.streams],
            "hour": sum(minute.events for minute in found.history),
            "written": sum(minute.written for minute in found.history),
        }


class LivePage(Inspector):
    template = "dashboard/live/page.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        stream = f"/sse/environments/{self.environment.api_key}/stream"
        return self.show(**self.panel(), stream=stream, stream_url=request.build_absolute_uri(stream))


class LivePanel(Inspector):
    """The panel alone, for a page that refreshes it. Nothing, where the page has it as it is (``?have=``)."""

    template = "dashboard/live/refreshed.html"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        content = self.panel()
        is_known = request.GET.get("have") == content["mark"]
        response = HttpResponse(status=204) if is_known else self.show(**content)
        # So that the page can compare its clock with ours.
        response.headers["X-Server-Time"] = f"{time.time() * 1_000:.1f}"
        return response
