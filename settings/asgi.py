"""The ASGI application: streams, the SDK API's fast path, and Django."""

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.production")
django_application = get_asgi_application()

# These import models, so Django has to be set up first.
from app_analytics.meter import meter  # noqa: E402
from core.bodies import limited_bodies  # noqa: E402
from core.middleware_headers import middleware_headers  # noqa: E402
from core.threads import starting  # noqa: E402
from dashboard.window_streams import window_streams  # noqa: E402
from features.workflows.core.scheduler import Scheduler  # noqa: E402
from realtime.asgi import get_application  # noqa: E402
from realtime.http import shortcuts  # noqa: E402
from realtime.workers import BackgroundWorker  # noqa: E402
from sdk import read_path  # noqa: E402
from webhooks.deliverer import Deliverer  # noqa: E402

shortcuts.add_get(b"/api/v1/", read_path.shortcut)
shortcuts.add_post(b"/ofrep/v1/evaluate/flags", read_path.ofrep_shortcut)
shortcuts.add_post(b"/api/v1/identities/", read_path.post_shortcut)

workers: list[BackgroundWorker] = []
if settings.RUN_SCHEDULER:
    workers.append(Scheduler())
if settings.DELIVER_WEBHOOKS:
    workers.append(Deliverer())
if settings.ENABLE_API_USAGE_TRACKING:
    workers.append(meter.thread)

application = get_application(
    django_application,
    middleware=lambda application: read_path.read_path(window_streams(limited_bodies(application))),
    middleware_headers=middleware_headers,
    start=starting(*workers),
)
