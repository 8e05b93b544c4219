"""The version endpoint, which Flagsmith's command line and dashboards request first."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, JsonResponse

FLAGSMITH = "2.265.0"
"""The Flagsmith release whose API this product implements."""


def version(request: HttpRequest) -> JsonResponse:
    """The version, without authentication. Flagsmith's command line checks ``image_tag``."""
    users = get_user_model().objects.order_by()
    return JsonResponse(
        {
            "ci_commit_sha": "unknown",
            "image_tag": FLAGSMITH,
            "has_email_provider": bool(settings.EMAIL_HOST),
            "is_enterprise": False,
            "is_saas": False,
            "self_hosted_data": {
                "has_users": users.exists(),
                "has_logins": users.filter(last_login__isnull=False).exists(),
            },
            "package_versions": {".": FLAGSMITH},
        }
    )
