"""What every way of running shares. Values come from environment variables; see docs/settings.md."""

import os
from pathlib import Path

from corsheaders.defaults import default_headers

from realtime.serving import databases, environment, logs, redis_urls
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
    "features.workflows.core",
    "segments",
    "evaluation",
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

# Counters of calls. With REDIS_URL all processes count together, otherwise each for itself.
CACHES = {"default": caches.from_url(redis_urls.url())}

AUTH_USER_MODEL = "users.FFAdminUser"
AUTHENTICATION_BACKENDS = ["users.backends.Accounts"]
# New passwords get the first one. Those of the second, from another installation, are hashed anew at their next log-in.
PASSWORD_HASHERS = ["users.hashers.Argon2", "users.hashers.PBKDF2"]
# Threads that hash passwords, in each process (users/hashing.py), and the seconds that a call waits for one.
MAX_CONCURRENT_PASSWORD_HASHES = environment.whole("MAX_CONCURRENT_PASSWORD_HASHES", 2)
PASSWORD_HASH_WAIT_SECONDS = environment.whole("PASSWORD_HASH_WAIT_SECONDS", 5)
# Seconds in which a link to a new password works.
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
# Files are served from where the apps have them (dashboard/files.py); browsers ask again after this many seconds.
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

# The dashboard's pages (dashboard/pages.py).
SESSION_COOKIE_AGE = environment.whole("SESSION_COOKIE_AGE", 1_209_600)
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "dashboard.pages.csrf_failure"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.UserTokenAuthentication",
        "api_keys.authentication.MasterAPIKeyAuthentication",
    ],
    # Nobody, unless permissions/rules.py says who.
    "DEFAULT_PERMISSION_CLASSES": ["permissions.enforcement.RulesPermission"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.StrictJSONParser", "core.parsers.StrictFormParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "permissions.schema.APISchema",
    "EXCEPTION_HANDLER": "core.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    # Who calls is said by realtime/http/addresses.py. Whatever asks the framework instead gets who has connected.
    "NUM_PROXIES": 0,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Flagsmith-compatible API with real-time flag updates",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Forms hold no nested objects, no numbers and no null, so only JSON is described.
    "PARSER_WHITELIST": ["core.parsers.StrictJSONParser"],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    # One release of the page's scripts, which come from elsewhere, instead of whatever is the latest.
    "SWAGGER_UI_DIST": "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0",
    # Fields that are all called "type", and what each of them is the type of.
    "ENUM_NAME_OVERRIDES": {
        "FeatureTypeEnum": "features.models.FeatureType",
        "ValueTypeEnum": "features.values.ValueType",
        "RuleTypeEnum": "segments.models.SegmentRule.Type",
        "TraitTypeEnum": "environments.identities.traits.models.Trait.ValueType",
    },
}

# SDKs in browsers: any origin, their own headers, and the version header readable (a page that cannot read it
# refetches on every replayed event). Sentry and OpenTelemetry add headers to every request of a page, SDKs' among them:
# where one of those is not allowed, the page gets no flags. "x-requested-with" is one of the defaults.
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
    *[name.lower() for name in environment.names("FLAGSMITH_CORS_EXTRA_ALLOW_HEADERS")],
]
CORS_EXPOSE_HEADERS = ["x-flagsmith-document-updated-at", "retry-after"]
CORS_PREFLIGHT_MAX_AGE = 86_400
CORS_URLS_REGEX = r"^/api/.*$"

# The plan of a new organisation. Flagsmith gates features by plan; "enterprise" has them all.
DEFAULT_SUBSCRIPTION_PLAN = os.environ.get("DEFAULT_SUBSCRIPTION_PLAN", "enterprise")

# Calls from one address: "20/min", "10/15min". None sets no limit.
LOGIN_THROTTLE_RATE: str | None = environment.rate("LOGIN_THROTTLE_RATE", "20/min")
CODE_THROTTLE_RATE: str | None = environment.rate("CODE_THROTTLE_RATE", "5/min")
SIGNUP_THROTTLE_RATE: str | None = environment.rate("SIGNUP_THROTTLE_RATE", "60/min")
PASSWORD_RESET_THROTTLE_RATE: str | None = environment.rate("PASSWORD_RESET_THROTTLE_RATE", "5/min")
# Wrong passwords for one account, whoever tries them. Then none is accepted until the time is over.
LOGIN_FAILURES_RATE: str | None = environment.rate("LOGIN_FAILURES_RATE", "10/15min")
# Messages to one account, whoever asks for them.
PASSWORD_RESET_MAIL_RATE: str | None = environment.rate("PASSWORD_RESET_MAIL_RATE", "5/day")

# Who issues second factors, in the words of the app that shows them.
OTP_TOTP_ISSUER = os.environ.get("OTP_TOTP_ISSUER", "Flagsmith")

# Mail. Without a mail server messages are files in VAR_DIR/mail, for whoever runs the installation.
EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_PORT = environment.whole("EMAIL_PORT", 587)
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = environment.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 10
EMAIL_FILE_PATH = VAR_DIR / "mail"
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased'}.EmailBackend"
DEFAULT_FROM_EMAIL = os.environ.get("SENDER_EMAIL", "flagsmith@localhost")

# Where people reach this installation: the beginning of links in messages. Never taken from a request's Host.
PUBLIC_URL = os.environ.get("PUBLIC_URL", f"http://localhost:{os.environ.get('PORT', '8000')}").rstrip("/")

# Whether strangers may make themselves accounts.
ALLOW_REGISTRATION_WITHOUT_INVITE = environment.flag("ALLOW_REGISTRATION_WITHOUT_INVITE", default=True)
# Whether organisations invite by mail alone, and how often one user may send such mail.
DISABLE_INVITE_LINKS = environment.flag("DISABLE_INVITE_LINKS")
INVITE_THROTTLE_RATE: str | None = environment.rate("INVITE_THROTTLE_RATE", "10/min")

# Characters of a flag's value, as in Flagsmith.
FEATURE_VALUE_LIMIT = 20_000

# Traits that an identity may have, which one call of identities/ may send as well, and traits of one call of
# traits/bulk/. Flagsmith has no limit.
MAX_TRAITS_PER_IDENTITY = environment.whole("MAX_TRAITS_PER_IDENTITY", 500)
MAX_TRAITS_PER_REQUEST = environment.whole("MAX_TRAITS_PER_REQUEST", 10_000)
# Bytes of identities and traits that the client key of an environment may have stored.
CLIENT_KEY_STORAGE_RATE: str | None = environment.rate("CLIENT_KEY_STORAGE_RATE", "10000000/10min")

# Bytes of a request's body; a larger one is refused with 413 before it is parsed.
DATA_UPLOAD_MAX_MEMORY_SIZE = environment.whole("MAX_BODY_BYTES", 1_048_576)

# Bytes of memory that a process spends on keeping environments in the form that SDKs get (evaluation/cache.py).
DOCUMENT_CACHE_BYTES = environment.whole("DOCUMENT_CACHE_BYTES", 64 * 1_048_576, least=0)

# Of an evaluation in the evaluation process (evaluation/isolation.py), in seconds on a processor: beyond it 422.
EVALUATION_SECONDS = environment.seconds("EVALUATION_SECONDS", 0.5)
# How long such an evaluation may wait for its organisation's turn: beyond it 503.
EVALUATION_WAIT_SECONDS = environment.seconds("EVALUATION_WAIT_SECONDS", 30)

# Whether each server process makes scheduled change requests live itself (features/workflows/core/scheduler.py).
# Otherwise somebody has to run "manage.py run_scheduler".
RUN_SCHEDULER = environment.flag("RUN_SCHEDULER", default=True)

# What Flagsmith bills is counted (app_analytics/). Names are Flagsmith's: how many seconds counts wait in memory before
# they are written, and how many days they are kept.
ENABLE_API_USAGE_TRACKING = environment.flag("ENABLE_API_USAGE_TRACKING", default=True)
API_USAGE_CACHE_SECONDS = float(os.environ.get("API_USAGE_CACHE_SECONDS", "5"))
BUCKETED_ANALYTICS_DATA_RETENTION_DAYS = environment.whole("BUCKETED_ANALYTICS_DATA_RETENTION_DAYS", 90)
# How often one user may ask for the figures.
USAGE_THROTTLE_RATE: str | None = environment.rate("USAGE_THROTTLE_RATE", "5/min")

# Whether each server process delivers webhooks itself (webhooks/deliverer.py). Otherwise somebody has to run
# "manage.py deliver_webhooks". With DISABLE_WEBHOOKS there are none to deliver.
DELIVER_WEBHOOKS = environment.flag("DELIVER_WEBHOOKS", default=True)
DISABLE_WEBHOOKS = environment.flag("DISABLE_WEBHOOKS")
WEBHOOK_TEST_THROTTLE_RATE: str | None = environment.rate("WEBHOOK_TEST_THROTTLE_RATE", "20/min")
# webhooks/conf.py lists these with their defaults.
globals().update(environment.prefixed("WEBHOOKS_"))

# Events go from process to process by Redis (django-eventstream's setting), otherwise by PostgreSQL (realtime/bus/).
if redis := redis_urls.from_environment():
    EVENTSTREAM_REDIS = redis
# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")

LOGGING = logs.settings()
