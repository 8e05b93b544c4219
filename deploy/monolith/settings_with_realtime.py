from app.settings.production import *

INSTALLED_APPS = [*INSTALLED_APPS, "django_eventstream", "realtime"]
REALTIME_HOST = "flagsmith"
CACHES[ENVIRONMENT_CACHE_NAME]["BACKEND"] = "realtime.flagsmith.caches.EnvironmentCache"
