"""A project with only django-eventstream, configured as in its documentation."""

SECRET_KEY = "a benchmark's"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["daphne", "channels", "django_eventstream"]
ROOT_URLCONF = "benchmarks.peers.stock_site"
ASGI_APPLICATION = "benchmarks.peers.stock_site.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
