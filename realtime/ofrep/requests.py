"""OFREP requests: the key, the flag's name in the path, and the evaluation context in the body."""

import math

from realtime.evaluation import Identity, IdentityTrait
from realtime.evaluation.decoding import decode
from realtime.types import Scope

PREFIX = "/ofrep/v1/evaluate/flags"

BEARER = "bearer "

# As in Flagsmith.
MAX_IDENTIFIER_LENGTH = 2_000


EvaluationRequest = tuple[str, str | None, str]
"""The environment's client-side or server-side key (empty: none was sent), the name of the flag (None: all flags, a
bulk evaluation), and ``If-None-Match``."""


class InvalidRequest(Exception):
    """A body without a usable evaluation context."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def api_key(x_api_key: str, authorization: str) -> str:
    """The key in ``X-API-Key``, or in ``Authorization: Bearer``. Empty: none."""
    if key := x_api_key.strip():
        return key
    is_bearer = authorization[: len(BEARER)].lower() == BEARER
    return authorization[len(BEARER) :].strip() if is_bearer else ""


def flag_of_path(path: str) -> str | None:
    """The name of the flag in a decoded path that begins with ``PREFIX``. None: all flags."""
    return path[len(PREFIX) + 1 :] or None


def is_evaluation(path: str) -> bool:
    """Return whether requests of this decoded path are evaluations."""
    return path == PREFIX or (path.startswith(f"{PREFIX}/") and flag_of_path(path) is not None)


def parse(scope: Scope) -> EvaluationRequest | None:
    """The request of an ASGI scope, without its body. None: its path is another."""
    path: str = scope["path"]
    if not is_evaluation(path):
        return None
    x_api_key = authorization = if_none_match = b""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            x_api_key = value
        elif name == b"authorization":
            authorization = value
        elif name == b"if-none-match":
            if_none_match = value
    key = api_key(x_api_key.decode("latin-1"), authorization.decode("latin-1"))
    return key, flag_of_path(path), if_none_match.decode("latin-1")


def parse_identity(body: bytes) -> Identity:
    """The identity and traits in the context of a request. Raises InvalidRequest.

    Attributes that cannot be a trait (null, lists, objects) are ignored: applications also use contexts for other
    purposes.
    """
    try:
        request = decode(body, _finite)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("PARSE_ERROR", f"The body is not valid JSON: {error}") from error
    if not isinstance(request, dict):
        raise InvalidRequest("PARSE_ERROR", "The body must be a JSON object.")
    context = request.get("context")
    if not isinstance(context, dict):
        raise InvalidRequest("INVALID_CONTEXT", "context must be an object.")
    identifier = context.get("targetingKey")
    if identifier is None or identifier == "":
        raise InvalidRequest("TARGETING_KEY_MISSING", "context.targetingKey is missing.")
    if not isinstance(identifier, str):
        raise InvalidRequest("INVALID_CONTEXT", "context.targetingKey must be a string.")
    if len(identifier) > MAX_IDENTIFIER_LENGTH:
        raise InvalidRequest("INVALID_CONTEXT", f"context.targetingKey: at most {MAX_IDENTIFIER_LENGTH} characters.")
    traits = {
        name: IdentityTrait(None, name, value, transient=True)
        for name, value in context.items()
        if name != "targetingKey" and isinstance(value, str | int | float)
    }
    return Identity(identifier, traits=traits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is out of range")
    return number
