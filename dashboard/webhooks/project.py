"""The webhooks of all environments of a project. A project has none of its own, as in Flagsmith."""

from collections import defaultdict

from django.http import HttpRequest, HttpResponse

from dashboard.scoped_pages import ProjectPage
from environments.models import Webhook

MAX_WEBHOOKS = 500


class ProjectWebhooks(ProjectPage):
    """The webhooks by environment, with links to the pages that change them."""

    template = "dashboard/webhooks/project.html"
    tab = "settings"
    section = "webhooks"
    kind = "project"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        webhooks = defaultdict(list)
        found = Webhook.objects.filter(environment__in=[each.pk for each in self.environments]).order_by("pk")
        for webhook in found[:MAX_WEBHOOKS]:
            webhooks[webhook.environment_id].append(webhook)
        return self.render(rows=[(each, webhooks[each.pk]) for each in self.environments])
