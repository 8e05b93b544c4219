"""The official Python SDK with local evaluation and real-time updates, without polling."""

import threading
from collections.abc import Callable
from typing import Any, Self

from flagsmith import Flagsmith

from tests.e2e.changes import FEATURE, IDENTITY, TRAITS, Seen
from tests.support.api import Tenant
from tests.support.patience import PATIENCE

YEAR_SECONDS = 365 * 86_400


class Client(Flagsmith):
    """The SDK, with a condition that is notified after each fetch of the environment document."""

    @classmethod
    def of(cls, tenant: Tenant, realtime_url: str) -> Self:
        """A client of the tenant's environment that streams from ``realtime_url``."""
        return cls(
            environment_key=tenant.environment.server_key,
            api_url=f"{tenant.api.url}/api/v1/",
            realtime_api_url=realtime_url,
            enable_local_evaluation=True,
            enable_realtime_updates=True,
            environment_refresh_interval_seconds=YEAR_SECONDS,
        )

    def __init__(self, **options: Any) -> None:
        self.fetches = 0
        self.fetched = threading.Condition()
        # The SDK does not repeat a fetch that has timed out before the next event.
        super().__init__(request_timeout_seconds=int(PATIENCE), **options)

    def update_environment(self) -> None:
        super().update_environment()
        with self.fetched:
            self.fetches += 1
            self.fetched.notify_all()

    def seen(self) -> Seen:
        """Enabled and value of the feature as the SDK has them."""
        flag = self.get_identity_flags(IDENTITY, dict(TRAITS)).get_flag(FEATURE)
        return flag.enabled, flag.value

    def wait_until(self, condition: Callable[[], bool], deadline: float = PATIENCE) -> None:
        """Wait for fetches until the condition holds."""
        with self.fetched:
            assert self.fetched.wait_for(condition, deadline), self.seen()
