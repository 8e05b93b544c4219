"""Production: nothing is guessed. What is missing or unsafe stops the start, with the variable's name."""

from django.core.exceptions import ImproperlyConfigured

from realtime.serving import environment
from settings.base import *
from settings.base import ALLOWED_HOSTS

# What startproject writes, and what settings/test.py has: known to everybody.
KNOWN_KEYS = ("django-insecure-", "for tests only")

SECRET_KEY = environment.required("SECRET_KEY")
if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10 or SECRET_KEY.startswith(KNOWN_KEYS):
    raise ImproperlyConfigured("SECRET_KEY must be at least 50 characters, chosen at random.")
if environment.flag("DEBUG"):
    raise ImproperlyConfigured("DEBUG must not be set in production.")
if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must list the host names that this server answers to, without '*'.")
# Whoever asks on this machine whether the process is ready: systemd, a container's health check. Links in messages
# begin with PUBLIC_URL, so a forged Host leads nowhere.
ALLOWED_HOSTS = [*ALLOWED_HOSTS, "127.0.0.1", "localhost"]

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if environment.flag("BEHIND_TLS_PROXY") else None
SECURE_SSL_REDIRECT = environment.flag("SECURE_SSL_REDIRECT", default=True)
# The stream must never redirect: a client that asks over plain HTTP would be lost for good (Kotlin). Prometheus and
# health checks ask each process by its own port, where there is no TLS.
SECURE_REDIRECT_EXEMPT = [r"^sse/", r"^health\b", r"^metrics$"]
SECURE_HSTS_SECONDS = environment.whole("SECURE_HSTS_SECONDS", 31_536_000, least=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = environment.flag("SECURE_HSTS_PRELOAD", default=True)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

SILENCED_SYSTEM_CHECKS = [
    # No XFrameOptionsMiddleware: core.middleware sends its header. Django's costs each request a thread's turn (ASGI).
    "security.W002",
    # No CsrfViewMiddleware for all: callers of the API prove themselves by a header that no other site can have a
    # browser send. The dashboard, which signs in by a cookie, brings it along for each page (dashboard/pages.py).
    "security.W003",
]
