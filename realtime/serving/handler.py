"""Django's request handler for a server that serves only ``realtime.serving.urls``."""

from django.conf import settings
from django.core.asgi import get_asgi_application

from realtime.types import Application


def handler() -> Application:
    """Set up Django, and return its ASGI application with these URLs, whose only middleware adds security headers.

    ``serve_realtime`` runs with the settings of a project whose ``ROOT_URLCONF`` and ``MIDDLEWARE`` are for pages on
    another server. Importing them would take memory, and the middleware may reject or redirect this server's requests.
    So they are replaced in this process, which serves nothing else.
    """
    settings.ROOT_URLCONF = "realtime.serving.urls"
    settings.MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
    django_application: Application = get_asgi_application()

    # It imports models, so Django has to be set up first.
    from realtime.serving.bodies import without_bodies

    return without_bodies(django_application)
