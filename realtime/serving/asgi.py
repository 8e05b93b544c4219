"""ASGI application of a server with streams, ``queue-change``, health and metrics only."""

import django

django.setup(set_prefix=False)

# These import models, so Django has to be set up first.
from realtime.asgi import get_application  # noqa: E402
from realtime.serving.bodies import without_bodies  # noqa: E402
from realtime.serving.handler import URLCONF, handler  # noqa: E402

application = get_application(without_bodies(handler()), urlconf=URLCONF)
