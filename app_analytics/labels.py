"""What a client says of itself, in Flagsmith's headers: its application's name and version, and its SDK."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

NAMES = ("client_application_name", "client_application_version", "user_agent")

Labels = tuple[str, str, str]
"""The values of ``NAMES``; an empty one was not given."""

NONE: Labels = ("", "", "")

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]
"""Django's ``request.headers``, or those of an ASGI scope, whose names are lower-case bytes."""

# A label is text of the client's, and three of them have to fit into an index row of PostgreSQL (2,704 bytes).
MAX_LENGTH = 200

HEADERS = (
    "flagsmith-application-name",
    "flagsmith-application-version",
    # Of browsers, which own the other one.
    "flagsmith-sdk-user-agent",
    "user-agent",
)
_PLACES = {name.encode(): place for place, name in enumerate(HEADERS)}

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


def of(headers: Headers) -> Labels:
    """The labels of a request."""
    if isinstance(headers, Mapping):
        return _labels(*[headers.get(name, "")[:MAX_LENGTH] for name in HEADERS])
    told = ["", "", "", ""]
    for name, value in headers:
        place = _PLACES.get(name)
        if place is not None:
            text = value[:MAX_LENGTH].decode("latin-1")
            # As Django reads it: several are joined.
            told[place] = f"{told[place]},{text}"[:MAX_LENGTH] if told[place] else text
    return _labels(*told)


def as_json(labels: Labels) -> dict[str, str]:
    """As they are stored: those that were given."""
    return {name: label for name, label in zip(NAMES, labels, strict=True) if label}


# Few clients are many of the requests, so most find theirs here.
@lru_cache(maxsize=1_024)
def _labels(name: str, version: str, sdk: str, agent: str) -> Labels:
    return _text(name), _text(version), _sdk(agent) or _sdk(sdk)


def _text(label: str) -> str:
    return label.replace("\0", "")  # PostgreSQL's JSON has no such character.


def _sdk(agent: str) -> str:
    """``flagsmith-python-sdk/6.2.1``; nothing for anybody else's agent: browsers' are as many as there are users."""
    name, _, version = agent.partition("/")
    if name not in SDKS:
        return ""
    return f"{name}/{version if VERSION.fullmatch(version) else UNKNOWN}"
