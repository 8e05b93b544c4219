"""Settings common to development, tests and production, read from environment variables (docs/settings.md)."""

import os
from pathlib import Path

from corsheaders.defaults import default_headers

from realtime.serving import databases, environment, grip_url, logs, redis_urls
from settings import caches

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))

DEBUG = False
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_otp",
    "django_otp.plugins.otp_totp",
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
    "organisations.invites",
    "api_keys",
    "projects",
    "projects.tags",
    "environments",
    "environments.identities",
    "environments.identities.traits",
    "features",
    "features.multivariate",
    "features.import_export",
    "features.workflows.core",
    "segments",
    "environment_documents",
    "sdk",
    "realtime",
    "realtime.inspector",
    "audit",
    "app_analytics",
    "webhooks",
    "dashboard",
    "demo",
]

MIDDLEWARE = [
    "core.middleware.browser_headers",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
]

ROOT_URLCONF = "settings.urls"
ASGI_APPLICATION = "settings.asgi.application"
WSGI_APPLICATION = "settings.wsgi.application"
APPEND_SLASH = False

DATABASES = {"default": databases.from_environment(VAR_DIR / "db.sqlite3", pool_size=20)}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

# The cache holds throttles' counters. With REDIS_URL all processes share them, otherwise each has its own.
CACHES = {"default": caches.from_url(redis_urls.url())}

AUTH_USER_MODEL = "users.FFAdminUser"
AUTHENTICATION_BACKENDS = ["users.backends.Accounts"]
# The first one hashes new passwords. Hashes of the second, from another installation, are upgraded at the next log-in.
PASSWORD_HASHERS = ["users.hashers.Argon2", "users.hashers.PBKDF2"]
# Threads per process that hash passwords (users/hashing.py), and how long a request waits for one, in seconds.
MAX_CONCURRENT_PASSWORD_HASHES = environment.integer("MAX_CONCURRENT_PASSWORD_HASHES", 2)
PASSWORD_HASH_WAIT_SECONDS = environment.integer("PASSWORD_HASH_WAIT_SECONDS", 5)
# Validity of a password reset link, in seconds.
PASSWORD_RESET_TIMEOUT = 3600
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
# Static files are served from the apps' folders (dashboard/files.py), and cached by browsers for this many seconds.
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 60

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Sessions and CSRF of the dashboard (dashboard/pages.py).
SESSION_COOKIE_AGE = environment.integer("SESSION_COOKIE_AGE", 1_209_600)
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "dashboard.pages.csrf_failure"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.UserTokenAuthentication",
        "api_keys.authentication.MasterAPIKeyAuthentication",
    ],
    # Denies all requests that permissions/rules.py does not allow.
    "DEFAULT_PERMISSION_CLASSES": ["permissions.enforcement.RulesPermission"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.StrictJSONParser", "core.parsers.StrictFormParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "permissions.schema.APISchema",
    "EXCEPTION_HANDLER": "core.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # Client addresses are determined by realtime/http/addresses.py. The framework's own is the connection's.
    "NUM_PROXIES": 0,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Flagsmith-compatible API with real-time flag updates",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Only JSON is described, because forms have no nested objects, numbers or null.
    "PARSER_WHITELIST": ["core.parsers.StrictJSONParser"],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # A fixed release of the page's scripts, which are loaded from a CDN, instead of the latest.
    "SWAGGER_UI_DIST": "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0",
    # Names of the enums of fields that are all called "type".
    "ENUM_NAME_OVERRIDES": {
        "FeatureTypeEnum": "features.models.FeatureType",
        "ValueTypeEnum": "features.values.ValueType",
        "RuleTypeEnum": "segments.models.SegmentRule.Type",
        "TraitTypeEnum": "environments.identities.traits.models.Trait.ValueType",
    },
}

# CORS for SDKs in browsers: any origin, their request headers, and access to the version header (an SDK that cannot
# read it refetches on every replayed event). OpenFeature providers send "x-api-key" and read "etag". Sentry and
# OpenTelemetry add headers to all requests of a page, including the SDK's: if one of them is not allowed, the page gets
# no flags. "x-requested-with" is one of the defaults.
CORS_ALLOW_ALL_ORIGINS = True
CORS_ALLOW_HEADERS = [
    *default_headers,
    "x-environment-key",
    "flagsmith-sdk-user-agent",
    "flagsmith-application-name",
    "flagsmith-application-version",
    "sentry-trace",
    "baggage",
    "traceparent",
    "tracestate",
    "x-api-key",
    "if-none-match",
    *[name.lower() for name in environment.names("FLAGSMITH_CORS_EXTRA_ALLOW_HEADERS")],
]
CORS_EXPOSE_HEADERS = ["x-flagsmith-document-updated-at", "etag", "retry-after"]
CORS_PREFLIGHT_MAX_AGE = 86_400
CORS_URLS_REGEX = r"^/(api|ofrep)/.*$"

# The plan of a new organisation. Flagsmith gates features by plan; "enterprise" has them all.
DEFAULT_SUBSCRIPTION_PLAN = os.environ.get("DEFAULT_SUBSCRIPTION_PLAN", "enterprise")

# Requests per client address: "20/min", "10/15min". None: no limit.
LOGIN_THROTTLE_RATE: str | None = environment.rate("LOGIN_THROTTLE_RATE", "20/min")
CODE_THROTTLE_RATE: str | None = environment.rate("CODE_THROTTLE_RATE", "5/min")
SIGNUP_THROTTLE_RATE: str | None = environment.rate("SIGNUP_THROTTLE_RATE", "60/min")
PASSWORD_RESET_THROTTLE_RATE: str | None = environment.rate("PASSWORD_RESET_THROTTLE_RATE", "5/min")
# Wrong passwords per account, from any address. Above the limit, no password is accepted until the period is over.
LOGIN_FAILURES_RATE: str | None = environment.rate("LOGIN_FAILURES_RATE", "10/15min")
# Password reset messages per account, from any address.
PASSWORD_RESET_MAIL_RATE: str | None = environment.rate("PASSWORD_RESET_MAIL_RATE", "5/day")

# The issuer of second factors, as authenticator apps show it.
OTP_TOTP_ISSUER = os.environ.get("OTP_TOTP_ISSUER", "Flagsmith")

# E-mail. Without a mail server, messages are written to files in VAR_DIR/mail, for the operator.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_PORT = environment.integer("EMAIL_PORT", 587)
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = environment.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 10
EMAIL_FILE_PATH = VAR_DIR / "mail"
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
DEFAULT_FROM_EMAIL = os.environ.get("SENDER_EMAIL", "flagsmith@localhost")

# The base URL of links in messages. Not taken from a request's Host, which may be forged.
PUBLIC_URL = os.environ.get("PUBLIC_URL", f"http://localhost:{os.environ.get('PORT', '8000')}").rstrip("/")

# Whether users may register without an invitation.
ALLOW_REGISTRATION_WITHOUT_INVITE = environment.flag("ALLOW_REGISTRATION_WITHOUT_INVITE", default=True)
# Whether organisations can invite by e-mail only, and the rate of such messages per user.
DISABLE_INVITE_LINKS = environment.flag("DISABLE_INVITE_LINKS")
INVITE_THROTTLE_RATE: str | None = environment.rate("INVITE_THROTTLE_RATE", "10/min")

# The maximum length of a flag's value, as in Flagsmith.
FEATURE_VALUE_LIMIT = 20_000

# The maximum number of traits of an identity, also in one request to identities/, and in one request to traits/bulk/.
# Flagsmith has no limit.
MAX_TRAITS_PER_IDENTITY = environment.integer("MAX_TRAITS_PER_IDENTITY", 500)
MAX_TRAITS_PER_REQUEST = environment.integer("MAX_TRAITS_PER_REQUEST", 10_000)
# Bytes of identities and traits per period that clients with an environment's client key can store.
CLIENT_KEY_STORAGE_RATE: str | None = environment.rate("CLIENT_KEY_STORAGE_RATE", "10000000/10min")

# The maximum size of a request's body in bytes. A larger one gets 413 before it is parsed.
DATA_UPLOAD_MAX_MEMORY_SIZE = environment.integer("MAX_BODY_BYTES", 1_048_576)

# The size per process of the cache of environment documents (environment_documents/cache.py), in bytes.
DOCUMENT_CACHE_BYTES = environment.integer("DOCUMENT_CACHE_BYTES", 64 * 1_048_576, minimum=0)

# CPU time of an evaluation in the evaluation process (environment_documents/isolation.py), in seconds. Above it: 422.
EVALUATION_SECONDS = environment.seconds("EVALUATION_SECONDS", 0.5)
# How long such an evaluation may wait for its organisation's turn, in seconds. Above it: 503.
EVALUATION_WAIT_SECONDS = environment.seconds("EVALUATION_WAIT_SECONDS", 30)

# Whether each server process runs the scheduler of change requests (features/workflows/core/scheduler.py).
# Otherwise "manage.py run_scheduler" has to run.
RUN_SCHEDULER = environment.flag("RUN_SCHEDULER", default=True)

# Usage tracking (app_analytics/), with Flagsmith's names: the interval in seconds at which counts are written to the
# database, and their retention in days.
ENABLE_API_USAGE_TRACKING = environment.flag("ENABLE_API_USAGE_TRACKING", default=True)
API_USAGE_CACHE_SECONDS = float(os.environ.get("API_USAGE_CACHE_SECONDS", "5"))
BUCKETED_ANALYTICS_DATA_RETENTION_DAYS = environment.integer("BUCKETED_ANALYTICS_DATA_RETENTION_DAYS", 90)
# Requests for usage data per user.
USAGE_THROTTLE_RATE: str | None = environment.rate("USAGE_THROTTLE_RATE", "5/min")

# Whether each server process delivers webhooks (webhooks/deliverer.py). Otherwise "manage.py deliver_webhooks" has to
# run. DISABLE_WEBHOOKS turns webhooks off.
DELIVER_WEBHOOKS = environment.flag("DELIVER_WEBHOOKS", default=True)
DISABLE_WEBHOOKS = environment.flag("DISABLE_WEBHOOKS")
WEBHOOK_TEST_THROTTLE_RATE: str | None = environment.rate("WEBHOOK_TEST_THROTTLE_RATE", "20/min")
# webhooks/conf.py lists these with their defaults.
globals().update(environment.prefixed("WEBHOOKS_"))

# The bus between processes (realtime/bus/): Redis (django-eventstream's setting) if configured, otherwise PostgreSQL.
if redis := redis_urls.from_environment():
    EVENTSTREAM_REDIS = redis
# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
globals().update(grip_url.settings())
SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")

LOGGING = logs.settings()
