"""The request target of a webhook's URL. A URL is parsed once, so the checked host is the one that is called."""

from base64 import b64encode
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from webhooks import addresses

PORTS = {"http": 80, "https": 443}

MIN_PORT = 1024
"""Lower ports are those of other protocols, such as mail. Only the ports of HTTP are allowed there."""

PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._?"


class BadTarget(ValueError):
    """A URL that a webhook cannot have. The text is the reason, for users."""


class Target(NamedTuple):
    scheme: str
    host: str
    """In ASCII; an IPv6 address without its brackets."""
    port: int
    path: str
    """The path and the query."""
    authorization: str | None
    """The ``Authorization`` header, if the URL contains a user name."""

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Parse a URL. Raises BadTarget unless its scheme is HTTP or HTTPS and webhooks may have its host and port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadTarget("This is not a URL.") from None
    if parts.scheme not in PORTS:
        raise BadTarget("The URL has to begin with http:// or https://.")
    port = PORTS[parts.scheme] if port is None else port
    if port not in PORTS.values() and port < MIN_PORT:
        raise BadTarget(f"The port has to be 80, 443, or {MIN_PORT} and up.")
    path = quote(parts.path or "/", PATH_CHARACTERS)
    if parts.query:
        path += f"?{quote(parts.query, PATH_CHARACTERS)}"
    return Target(parts.scheme, _host(parts), port, path, _authorization(parts))


def url_error(url: str) -> str | None:
    """The reason why a webhook cannot have the URL, without resolving its host; None if it can."""
    try:
        host = parse_target(url).host
    except BadTarget as error:
        return str(error)
    address = addresses.parse_address("127.0.0.1" if addresses.is_local_name(host) else host)
    if address is not None and not addresses.is_allowed(address):
        return "The URL leads to an address that is not public."
    return None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host and "%" not in host:
        return host
    try:
        # This turns digits of other scripts into ASCII digits, before the host is checked for being an address.
        encoded = host.encode("idna").decode()
    except UnicodeError:
        encoded = ""
    if not encoded or any(character in encoded for character in " /?#@:\\%"):
        raise BadTarget("The URL has no valid host.")
    return encoded


def _authorization(parts: SplitResult) -> str | None:
    if parts.username is None:
        return None
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(credentials.encode()).decode()}"
