from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from api_keys.actor import APIKeyUser
from users.throttles import Throttle


class TrialThrottle(Throttle):
    """Limits the trials of one user or master API key: each occupies a thread until the receiver responds."""

    scope = "webhook_trial"
    setting = "WEBHOOK_TEST_THROTTLE_RATE"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        actor: Any = request.user
        return self.key_of(f"key-{actor.key.pk}" if isinstance(actor, APIKeyUser) else actor.pk)
