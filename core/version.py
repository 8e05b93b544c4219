"""Which Flagsmith this is, for its command line and dashboards, which ask before they call anything else."""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.http import HttpRequest, JsonResponse

FLAGSMITH = "2.265.0"
"""The release of Flagsmith whose API this product answers like."""


def version(request: HttpRequest) -> JsonResponse:
    """Anybody may ask. ``image_tag`` is what Flagsmith's command line compares with what it needs."""
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
