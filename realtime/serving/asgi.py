"""ASGI application of a server that has streams, ``queue-change``, health and metrics, and no pages."""

import django

django.setup(set_prefix=False)

# They import models, so they come after Django is set up.
from realtime.asgi import get_application  # noqa: E402
from realtime.serving.bodies import without_bodies  # noqa: E402
from realtime.serving.handler import URLCONF, Handler  # noqa: E402
from realtime.serving.lifespan import lifespan  # noqa: E402

application = get_application(without_bodies(Handler()), lifespan=lifespan(URLCONF))
