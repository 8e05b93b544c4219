"""What every way of running shares. Values come from environment variables; see docs/settings.md."""

import os
from pathlib import Path
from typing import Any

from settings import databases, environment

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))

DEBUG = False
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS")

INSTALLED_APPS = [
    "daphne",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "rest_framework_api_key",
    "corsheaders",
    "drf_spectacular",
    "django_eventstream",
    "channels",
    "core",
    "permissions",
    "users",
    "organisations",
    "api_keys",
    "projects",
    "projects.tags",
    "environments",
    "environments.identities",
    "environments.identities.traits",
    "features",
    "features.multivariate",
    "features.workflows.core",
    "segments",
    "realtime",
    "audit",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
]

ROOT_URLCONF = "settings.urls"
ASGI_APPLICATION = "settings.asgi.application"
WSGI_APPLICATION = "settings.wsgi.application"
APPEND_SLASH = False

DATABASES: dict[str, dict[str, Any]] = {
    "default": databases.from_url(os.environ["DATABASE_URL"], int(os.environ.get("DATABASE_POOL_SIZE", "20")))
    if os.environ.get("DATABASE_URL")
    else databases.sqlite(VAR_DIR / "db.sqlite3")
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

AUTH_USER_MODEL = "users.FFAdminUser"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{validator}"}
    for validator in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.UserTokenAuthentication",
        "api_keys.authentication.MasterAPIKeyAuthentication",
    ],
    # Nobody, unless permissions/rules.py says who.
    "DEFAULT_PERMISSION_CLASSES": ["permissions.enforcement.RulesPermission"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "core.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Flagsmith-compatible API with real-time flag updates",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # Fields that are all called "type", and what each of them is the type of.
    "ENUM_NAME_OVERRIDES": {
        "FeatureTypeEnum": "features.models.FeatureType",
        "ValueTypeEnum": "features.values.ValueType",
        "RuleTypeEnum": "segments.models.SegmentRule.Type",
        "TraitTypeEnum": "environments.identities.traits.models.Trait.ValueType",
    },
}

# SDKs in browsers: any origin, their own headers, and the version header readable (a page that cannot read it
# refetches on every replayed event).
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_HEADERS = [
    "accept",
    "authorization",
    "content-type",
    "x-environment-key",
    "flagsmith-sdk-user-agent",
    "flagsmith-application-name",
    "flagsmith-application-version",
]
CORS_EXPOSE_HEADERS = ["x-flagsmith-document-updated-at", "retry-after"]
CORS_PREFLIGHT_MAX_AGE = 86_400
CORS_URLS_REGEX = r"^/api/.*$"

# The plan of a new organisation. Flagsmith gates features by plan; "enterprise" has them all.
DEFAULT_SUBSCRIPTION_PLAN = os.environ.get("DEFAULT_SUBSCRIPTION_PLAN", "enterprise")

# Log-ins from one address, in Django REST framework's notation, and whether strangers may make themselves accounts.
LOGIN_THROTTLE_RATE: str | None = os.environ.get("LOGIN_THROTTLE_RATE", "20/min")
ALLOW_REGISTRATION_WITHOUT_INVITE = environment.flag("ALLOW_REGISTRATION_WITHOUT_INVITE", default=True)

# Characters of a flag's value, as in Flagsmith.
FEATURE_VALUE_LIMIT = 20_000

# Bytes of a request's body; a larger one is refused with 413 before it is parsed.
DATA_UPLOAD_MAX_MEMORY_SIZE = int(os.environ.get("MAX_BODY_BYTES", 1_048_576))

# Bytes of memory that a process spends on keeping environments in the form that SDKs get (environments/cache.py).
DOCUMENT_CACHE_BYTES = int(os.environ.get("DOCUMENT_CACHE_BYTES", 64 * 1_048_576))

# Whether each server process makes scheduled change requests live itself (features/workflows/core/scheduler.py).
# Otherwise somebody has to run "manage.py run_scheduler".
RUN_SCHEDULER = environment.flag("RUN_SCHEDULER", default=True)

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": "structlog.stdlib.ProcessorFormatter",
            "processors": "ext://core.logs.PROCESSORS",
            "foreign_pre_chain": "ext://core.logs.FOREIGN_PRE_CHAIN",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # It logs a line for each listener: one for each environment that somebody streams.
    "loggers": {"django_eventstream": {"level": "WARNING"}},
}
