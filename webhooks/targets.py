"""A webhook's URL, taken apart once: what is checked is what is called."""

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from webhooks import addresses

PORTS = {"http": 80, "https": 443}

FIRST_FREE_PORT = 1024
"""Below this only the ports of HTTP itself: nobody's mail server gets to read what we post."""

PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._?"


class BadTarget(ValueError):
    """A URL that no webhook can have; its text says why."""


class Target(NamedTuple):
    scheme: str
    host: str
    """In ASCII; an IPv6 address without its brackets."""
    port: int
    path: str
    """With the query."""
    authorization: str | None
    """For the header of this name, if the URL holds a user's name."""

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def target(url: str) -> Target:
    """Take a URL apart. Raises BadTarget unless it is one of HTTP, with a host and a port that webhooks may have."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadTarget("This is no URL.") from None
    if parts.scheme not in PORTS:
        raise BadTarget("The URL has to begin with http:// or https://.")
    port = PORTS[parts.scheme] if port is None else port
    if port not in PORTS.values() and port < FIRST_FREE_PORT:
        raise BadTarget(f"The port has to be 80, 443, or {FIRST_FREE_PORT} and up.")
    path = quote(parts.path or "/", PATH_CHARACTERS)
    if parts.query:
        path += f"?{quote(parts.query, PATH_CHARACTERS)}"
    return Target(parts.scheme, _host(parts), port, path, _authorization(parts))


def refusal(url: str) -> str | None:
    """What is wrong with the URL as far as that can be seen without looking its host up; None: nothing."""
    try:
        host = target(url).host
    except BadTarget as bad:
        return str(bad)
    address = addresses.literal("127.0.0.1" if addresses.is_local_name(host) else host)
    if address is not None and not addresses.is_allowed(address):
        return "The URL leads to an address that is not public."
    return None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host and "%" not in host:
        return host
    try:
        # Digits in other scripts become plain ones here, before anybody looks whether they are an address.
        encoded = host.encode("idna").decode()
    except UnicodeError:
        encoded = ""
    if not encoded or any(character in encoded for character in " /?#@:\\%"):
        raise BadTarget("The URL has no valid host.")
    return encoded


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"
