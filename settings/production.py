"""Production settings. A missing or unsafe value raises ImproperlyConfigured with the variable's name."""

from django.core.exceptions import ImproperlyConfigured

from realtime.serving import environment
from settings.base import *
from settings.base import ALLOWED_HOSTS

# Publicly known keys: startproject's, and that of settings/test.py.
PUBLIC_KEY_PREFIXES = ("django-insecure-", "for tests only")

SECRET_KEY = environment.required("SECRET_KEY")
if len(SECRET_KEY) < 50 or len(set(SECRET_KEY)) < 10 or SECRET_KEY.startswith(PUBLIC_KEY_PREFIXES):
    raise ImproperlyConfigured("SECRET_KEY must be at least 50 characters, chosen at random.")
if environment.flag("DEBUG"):
    raise ImproperlyConfigured("DEBUG must not be set in production.")
if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must list the host names that this server answers to, without '*'.")
# For health checks on this machine (systemd, containers). A forged Host has no effect: links in messages begin with
# PUBLIC_URL.
ALLOWED_HOSTS = [*ALLOWED_HOSTS, "127.0.0.1", "localhost"]

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if environment.flag("BEHIND_TLS_PROXY") else None
SECURE_SSL_REDIRECT = environment.flag("SECURE_SSL_REDIRECT", default=True)
# Streams must not redirect: Kotlin's SDK stops for good at a redirect. Prometheus and health checks connect to each
# process's own port, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^sse/", r"^health\b", r"^metrics$"]
SECURE_HSTS_SECONDS = environment.integer("SECURE_HSTS_SECONDS", 31_536_000, minimum=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = environment.flag("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = environment.flag("SECURE_HSTS_PRELOAD", default=True)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

SILENCED_SYSTEM_CHECKS = [
    # No XFrameOptionsMiddleware: core.middleware sets the header. Django's is synchronous, and needs a thread (ASGI).
    "security.W002",
    # No CsrfViewMiddleware: the API authenticates by a header that another site cannot make a browser send. The
    # dashboard, which uses a session cookie, applies it to each page (dashboard/pages.py).
    "security.W003",
]
