"""Labels of a request, from Flagsmith's headers: the application's name and version, and the SDK."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

NAMES = ("client_application_name", "client_application_version", "user_agent")

Labels = tuple[str, str, str]
"""The values of ``NAMES``. Empty: not sent."""

NONE: Labels = ("", "", "")

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]
"""Django's ``request.headers``, or the headers of an ASGI scope, whose names are lower-case bytes."""

# Clients choose the text of labels. Three of them have to fit into an index row of PostgreSQL (2,704 bytes).
MAX_LENGTH = 200

HEADERS = (
    "flagsmith-application-name",
    "flagsmith-application-version",
    # Sent by browsers instead of User-Agent, which pages cannot set.
    "flagsmith-sdk-user-agent",
    "user-agent",
)
_INDEX = {name.encode(): index for index, name in enumerate(HEADERS)}

SDKS = frozenset(
    f"flagsmith-{name}-sdk"
    for name in (
        "dotnet",
        "elixir",
        "flutter",
        "go",
        "java",
        "js",
        "kotlin-android",
        "nodejs",
        "php",
        "python",
        "ruby",
        "rust",
        "swift-ios",
    )
)
VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,31}")
UNKNOWN = "unknown"


def from_headers(headers: Headers) -> Labels:
    """The labels of a request."""
    if isinstance(headers, Mapping):
        return _labels(*[headers.get(name, "")[:MAX_LENGTH] for name in HEADERS])
    values = ["", "", "", ""]
    for name, value in headers:
        index = _INDEX.get(name)
        if index is not None:
            text = value[:MAX_LENGTH].decode("latin-1")
            # Repeated headers are joined, as in Django.
            values[index] = f"{values[index]},{text}"[:MAX_LENGTH] if values[index] else text
    return _labels(*values)


def as_json(labels: Labels) -> dict[str, str]:
    """The labels that were sent, by name, as they are stored."""
    return {name: label for name, label in zip(NAMES, labels, strict=True) if label}


# Most requests come from a few different clients.
@lru_cache(maxsize=1_024)
def _labels(name: str, version: str, sdk_user_agent: str, user_agent: str) -> Labels:
    return _without_null(name), _without_null(version), _sdk(user_agent) or _sdk(sdk_user_agent)


def _without_null(text: str) -> str:
    return text.replace("\0", "")  # PostgreSQL's JSON rejects null characters.


def _sdk(user_agent: str) -> str:
    """An official SDK's name and version (``flagsmith-python-sdk/6.2.1``), or an empty string.

    Other user agents are left out, because browsers have very many different ones.
    """
    name, _, version = user_agent.partition("/")
    if name not in SDKS:
        return ""
    return f"{name}/{version if VERSION.fullmatch(version) else UNKNOWN}"
