"""A read: the question of a client to its environment."""

from typing import Final, NamedTuple

from realtime.evaluation import Identity

# The endpoints.
FLAGS: Final = "flags"
IDENTITIES: Final = "identities"
DOCUMENT: Final = "environment-document"
OFREP: Final = "ofrep"


class Read(NamedTuple):
    """All that an answer depends on besides the environment's document. Processes send it to each other."""

    endpoint: str

    server_side: bool
    """The client has a server-side key."""

    feature: str | None = None
    """The name of the one flag that is asked for. None: all flags."""

    identity: Identity | None = None
    """Of ``identities/``."""

    body: bytes = b""
    """Of OFREP: the evaluation context, which has the identity."""

    if_none_match: str = ""
    """Of OFREP."""

    streaming_enabled: bool = False
    """Of OFREP: the gate is open, so clients may open a stream."""

    @property
    def is_shared(self) -> bool:
        """All clients of the environment with the same kind of key get the same answer."""
        return self.endpoint == DOCUMENT or (self.endpoint == FLAGS and self.feature is None)
