"""The limit of what client keys have stored. They are public: anybody who has an application could fill the disk."""

import structlog

from users.throttles import Throttle

logger = structlog.get_logger(__name__)


class ClientStorage(Throttle):
    """Bytes of identities and traits that the client key of one environment has stored, in a window."""

    scope = "client_storage"
    setting = "CLIENT_KEY_STORAGE_RATE"

    def allow_bytes(self, environment_id: int, number: int) -> bool:
        """Count so many bytes; whether they may be stored. The log has one line for an environment and window."""
        allowed = self.allow(self.key_of(environment_id), number)
        if not allowed and self.counted - number <= self.num_requests:
            logger.warning("client_storage_limit_reached", environment_id=environment_id, rate=self.rate)
        return allowed
