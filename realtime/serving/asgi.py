"""ASGI application of a server with streams, ``queue-change``, health and metrics only."""

from realtime.asgi import get_application
from realtime.serving.handler import handler

application = get_application(handler())
