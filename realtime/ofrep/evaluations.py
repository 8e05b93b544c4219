"""Maps the flags of an environment document to OFREP's evaluations."""

from typing import Any
from urllib.parse import quote

from realtime.evaluation import CompiledEnvironment, Flag, Identity
from realtime.evaluation.encoding import encode
from realtime.types import UpdatedAt, epoch_seconds

STREAMS = "/ofrep/v1/streams/"


class Evaluations:
    """The evaluations of one document. Threads share it.

    The JSON of each different flag is cached, as in ``realtime.evaluation.encoding``: all identities of an environment
    share a small number of them.
    """

    def __init__(self, environment: CompiledEnvironment, updated_at: UpdatedAt) -> None:
        self._environment = environment
        self._encoded: dict[tuple[Any, ...], bytes] = {}
        self._allows_client_traits = environment.document.get("allow_client_traits", True)
        self._metadata = b'"metadata":' + encode({"version": epoch_seconds(updated_at)}).encode()
        path = STREAMS + quote(environment.document["api_key"], safe="")
        streams = [{"type": "sse", "endpoint": {"requestUri": path}}]
        self._streams = b',"eventStreams":' + encode(streams).encode()

    def all(self, identity: Identity, server_side: bool, streaming_enabled: bool) -> bytes:
        """The body of a bulk evaluation. ``streaming_enabled``: name the stream of events."""
        flags = b",".join([self._encode(flag) for flag in self._flags(identity, server_side)])
        return b'{"flags":[%b],%b%b}' % (flags, self._metadata, self._streams if streaming_enabled else b"")

    def one(self, identity: Identity, name: str, server_side: bool) -> bytes | None:
        """The body of the evaluation of one flag. None: there is no flag of this name for this kind of key."""
        for flag in self._flags(identity, server_side):
            if flag.state.feature["name"] == name:
                return b"%b,%b}" % (self._encode(flag)[:-1], self._metadata)
        return None

    def _flags(self, identity: Identity, server_side: bool) -> list[Flag]:
        """The identity's flags. As in the SDK API, the environment may ignore traits of clients with a public key."""
        if not (server_side or self._allows_client_traits):
            identity = Identity(identity.identifier)
        return self._environment.identity_flags(identity, server_side)

    def _encode(self, flag: Flag) -> bytes:
        # The key has the value's type, because 1 == True.
        key = (flag.state, flag.variant, type(flag.value), flag.value)
        encoded = self._encoded.get(key)
        if encoded is None:
            encoded = self._encoded[key] = encode(evaluation(flag)).encode()
        return encoded


def evaluation(flag: Flag) -> dict[str, Any]:
    """The evaluation of a flag.

    A flag without a value is a switch: its value is its state. A flag with a value has none while it is disabled, so
    the provider returns the application's default. The dashboard stores an empty text for a feature without a value.
    """
    state = flag.state
    mapped: dict[str, Any] = {"key": state.feature["name"]}
    if flag.value is None or flag.value == "":
        mapped["value"] = state.enabled
    elif state.enabled:
        mapped["value"] = flag.value
    mapped["reason"] = _reason(flag) if "value" in mapped else "DISABLED"
    # Always there: the Python provider requires it.
    mapped["variant"] = flag.variant or ("enabled" if state.enabled else "disabled")
    return mapped


def _reason(flag: Flag) -> str:
    if flag.state.is_split:
        return "SPLIT"
    return "STATIC" if flag.state.overridden_by is None else "TARGETING_MATCH"
