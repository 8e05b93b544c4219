"""Limit of what client-side keys can store. They are public, so anyone with such a key could fill the disk."""

import structlog

from users.throttles import Throttle

logger = structlog.get_logger(__name__)


class ClientStorageThrottle(Throttle):
    """Bytes of identities and traits that the client-side key of one environment has stored in a time window."""

    scope = "client_storage"
    setting = "CLIENT_KEY_STORAGE_RATE"

    def allow_bytes(self, environment_id: int, number: int) -> bool:
        """Count the bytes, and return whether they may be stored. Logs once for each environment and window."""
        allowed = self.allow(self.key_of(environment_id), number)
        if not allowed and self.counted - number <= self.num_requests:
            logger.warning("client_storage_limit_reached", environment_id=environment_id, rate=self.rate)
        return allowed
