"""Django's request handler for a server that serves only ``realtime.serving.urls``.

``serve_realtime`` runs with the settings of a project whose ``ROOT_URLCONF`` and ``MIDDLEWARE`` are for pages on
another server. Importing them would take memory, and the middleware may reject or redirect this server's requests.
"""

from django.middleware.security import SecurityMiddleware

from realtime.compat.django import BareHandler

URLCONF = "realtime.serving.urls"


def handler() -> BareHandler:
    """An ASGI handler with these URLs, whose only middleware adds Django's security headers."""
    return BareHandler(URLCONF, SecurityMiddleware)
