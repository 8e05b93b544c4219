"""Queries of Flagsmith's own requests, with the app and without it: versions are raised by a thread of the app."""

import json

import pytest

from tests.flagsmith.checkout import Checkout
from tests.flagsmith.installed import FlagsmithWithApp
from tests.flagsmith.monolith import Tasks
from tests.support.api import AdminAPI

pytestmark = [pytest.mark.flagsmith, pytest.mark.timeout(600)]

# Code for Flagsmith's ``manage.py shell``. The first request of each kind fills caches and is not counted.
COUNT = """
import json
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

wanted = json.loads({wanted!r})
admin, sdk = APIClient(), APIClient()
admin.credentials(HTTP_AUTHORIZATION=wanted["authorization"])
sdk.credentials(HTTP_X_ENVIRONMENT_KEY=wanted["key"])

def queries(client, method, path, **body):
    with CaptureQueriesContext(connection) as captured:
        response = getattr(client, method)(path, body or None, format="json")
    assert response.status_code == 200, response.content
    return len(captured)

counts = {}
for enabled in (True, False, True):
    counts["toggle"] = queries(admin, "patch", wanted["state"], enabled=enabled)
    counts["flags after a toggle"] = queries(sdk, "get", "/api/v1/flags/")
    counts["flags"] = min(queries(sdk, "get", "/api/v1/flags/") for _ in range(5))
print(json.dumps(counts))
"""


def test_app__toggle_and_flags__as_many_queries_as_without_it(checkout: Checkout) -> None:
    """One database, and each request in a process without the app and in a process with it."""
    with FlagsmithWithApp(checkout, Tasks.THREADS, {}) as flagsmith:
        tenant = flagsmith.tenant(AdminAPI.registered(flagsmith.url))
        state = tenant.state(tenant.add_feature("banner", initial_value="old")["id"])["id"]
        key = tenant.environment.key
        wanted = {
            "authorization": tenant.api.session.headers["Authorization"],
            "key": key,
            "state": f"/api/v1/environments/{key}/featurestates/{state}/",
        }
        code = COUNT.replace("{wanted!r}", repr(json.dumps(wanted)))
        variables = {**flagsmith.settings, "DJANGO_SETTINGS_MODULE": "app.settings.production"}
        without = json.loads(checkout.run("shell", "--command", code, variables=variables).splitlines()[-1])
        with_app = json.loads(flagsmith.manage("shell", "--command", code).splitlines()[-1])
        print(f"queries without the app {without}, with it {with_app}")

    assert with_app == without
