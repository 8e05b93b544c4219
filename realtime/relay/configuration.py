"""The relay's configuration: that of Flagsmith's Edge Proxy, unchanged, and the relay's own variables.

The Edge Proxy reads a JSON file (``CONFIG_PATH``, ``config.json`` by default), and environment variables of the same
names in any case, which take precedence. Variables of objects and lists are JSON; objects are merged with the file's.
Unknown names are ignored. Two of its settings have an older name as well.
"""

import ipaddress
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

SERVER_KEY_PREFIX = "ser."

DEFAULT_FILE = "config.json"

DEFAULT_STATE_DIRECTORY = "relay-state"

DATABASE_FILE = "posted-versions.sqlite3"
"""The file of posted versions in that directory."""

STRUCTURED = {"environment_key_pairs", "allow_origins", "endpoint_caches", "logging", "server", "health_check"}
"""Settings whose variables are JSON."""

TRUE = ("1", "true", "yes", "on", "t", "y")
FALSE = ("0", "false", "no", "off", "f", "n")

# Of one upstream.
MAX_URLS = 2

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class KeyPair:
    """The keys of one environment. The client-side key is public, and is the ``api_key`` in the document."""

    server_side_key: str
    client_side_key: str


def _key_pairs(value: Any) -> tuple[KeyPair, ...]:
    if not isinstance(value, list):
        raise ImproperlyConfigured("environment_key_pairs must be a list of objects.")
    pairs = tuple(_key_pair(f"environment_key_pairs[{index}]", pair) for index, pair in enumerate(value))
    client_of: dict[str, str] = {}
    for pair in pairs:
        if client_of.setdefault(pair.server_side_key, pair.client_side_key) != pair.client_side_key:
            raise ImproperlyConfigured("environment_key_pairs: two environments have the same server_side_key.")
    return tuple(dict.fromkeys(pairs))


def _key_pair(name: str, value: Any) -> KeyPair:
    if not isinstance(value, dict):
        raise ImproperlyConfigured(f"{name} must be an object with server_side_key and client_side_key.")
    keys = {}
    for part in ("server_side_key", "client_side_key"):
        key = value.get(part)
        # A server-side key is secret: no message contains it.
        if not isinstance(key, str) or not key.strip():
            raise ImproperlyConfigured(f"{name}.{part} must be set.")
        keys[part] = key.strip()
        if not (keys[part].isascii() and keys[part].isprintable()):
            raise ImproperlyConfigured(f"{name}.{part} must be ASCII: it is sent in a header.")
    if not keys["server_side_key"].startswith(SERVER_KEY_PREFIX):
        raise ImproperlyConfigured(f"{name}.server_side_key must begin with {SERVER_KEY_PREFIX!r}.")
    if keys["client_side_key"].startswith(SERVER_KEY_PREFIX) and keys["client_side_key"] != keys["server_side_key"]:
        raise ImproperlyConfigured(f"{name}.client_side_key must not be another server-side key.")
    return KeyPair(**keys)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("text")
    return value


def _whole(value: Any) -> int:
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ValueError("a whole number") from None
    return int(value)


def _number(least: int, most: float = inf) -> Callable[[Any], int]:
    def convert(value: Any) -> int:
        number = _whole(value)
        if not least <= number <= most:
            raise ValueError(f"{least} or more" if most == inf else f"a number from {least} to {most}")
        return number

    return convert


def _optional(convert: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else convert(value)


def _flag(value: Any) -> bool:
    word = str(value).lower()
    if word not in TRUE + FALSE:
        raise ValueError("true or false")
    return word in TRUE


def _urls(value: Any) -> tuple[str, ...]:
    """One URL, or two with a comma between them."""
    urls = tuple(_url(part.strip()) for part in value.split(",")) if isinstance(value, str) else ()
    if not 1 <= len(set(urls)) == len(urls) <= MAX_URLS:
        raise ValueError("a URL, or two different ones with a comma between them")
    return urls


def _url(value: str) -> str:
    message = "a URL that begins with http:// or https://, or two of them with a comma between them"
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(message)
    return value.rstrip("/")


def _address(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("an IP address") from None


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        # As on the Edge Proxy's documentation page.
        return (value,)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("a list of texts")
    return tuple(value)


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise ValueError("an object")
    return value


def _word(*words: str) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return convert


def _fields(kind: type) -> Iterator[tuple[str, Callable[[Any], Any], list[str]]]:
    """The fields of a dataclass with what their annotations contain: the conversion, and the setting's names.

    The names are left out if there is one, that of the field. The first one takes precedence. A conversion raises
    ValueError with what is allowed.
    """
    for name, hint in get_type_hints(kind, include_extras=True).items():
        convert, *names = hint.__metadata__
        yield name, convert, names or [name]


def _read(kind: type[T], values: Json, prefix: str = "") -> T:
    """Make a dataclass of the settings that its fields describe. Others are ignored. Raises ImproperlyConfigured."""
    found: Json = {}
    for field, convert, names in _fields(kind):
        name = next((name for name in names if name in values), None)
        if name is not None:
            try:
                found[field] = convert(values[name])
            except ValueError as error:
                raise ImproperlyConfigured(f"{prefix}{name} must be {error}, not {values[name]!r}.") from None
    return kind(**found)


def _group(kind: type[T], name: str) -> Callable[[Any], T]:
    """The settings of an object."""
    return lambda value: _read(kind, _object(value), f"{name}.")


@dataclass(frozen=True)
class Logging:
    """The log's format. None: the default of ``LOG_FORMAT`` and ``LOG_LEVEL``."""

    enable_access_log: Annotated[bool, _flag] = False
    log_format: Annotated[str | None, _word("generic", "json")] = None
    log_level: Annotated[str | None, _word("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")] = None
    log_event_field_name: Annotated[str | None, _text] = None
    # The last name is on the Edge Proxy's documentation page only.
    colours: Annotated[bool | None, _flag, "colours", "colors", "colour"] = None
    override: Annotated[Json | None, _object] = None


@dataclass(frozen=True)
class Server:
    host: Annotated[str, _address] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, _number(1, 65_535)] = 8000
    reload: Annotated[bool, _flag] = False
    proxy_headers: Annotated[bool, _flag] = False
    timeout_keep_alive: Annotated[int, _number(1)] = 5


@dataclass(frozen=True)
class HealthCheck:
    environment_update_grace_period_seconds: Annotated[int | None, _optional(_whole)] = 30
    """None: documents are never stale."""


@dataclass(frozen=True)
class EndpointCache:
    use_cache: Annotated[bool, _flag] = False
    cache_max_size: Annotated[int, _whole] = 128


@dataclass(frozen=True)
class EndpointCaches:
    """Checked, and without effect: every response is cached by its version."""

    flags: Annotated[EndpointCache, _group(EndpointCache, "endpoint_caches.flags")] = EndpointCache()
    identities: Annotated[EndpointCache, _group(EndpointCache, "endpoint_caches.identities")] = EndpointCache()


@dataclass(frozen=True)
class Configuration:
    """All settings, checked. Those in capitals are environment variables only."""

    environment_key_pairs: Annotated[tuple[KeyPair, ...], _key_pairs]
    api_urls: Annotated[tuple[str, ...], _urls, "api_url"] = ("https://edge.api.flagsmith.com/api/v1",)
    """Without a slash at the end. The next one is used when one fails."""

    api_poll_frequency_seconds: Annotated[int, _number(1), "api_poll_frequency_seconds", "api_poll_frequency"] = 10
    api_poll_timeout_seconds: Annotated[int, _number(1), "api_poll_timeout_seconds", "api_poll_timeout"] = 5
    allow_origins: Annotated[tuple[str, ...], _texts] = ("*",)
    endpoint_caches: Annotated[EndpointCaches | None, _optional(_group(EndpointCaches, "endpoint_caches"))] = None
    logging: Annotated[Logging, _group(Logging, "logging")] = Logging()
    server: Annotated[Server, _group(Server, "server")] = Server()
    health_check: Annotated[HealthCheck, _group(HealthCheck, "health_check")] = HealthCheck()
    upstream_realtime_urls: Annotated[tuple[str, ...], _urls, "UPSTREAM_REALTIME_URL"] = ()
    """The base URLs of the upstream's streams, without a slash at the end. Empty: none."""

    streaming: Annotated[str, _word("document", "always"), "RELAY_STREAMING"] = "document"
    traits: Annotated[str, _word("request", "forward"), "RELAY_TRAITS"] = "request"
    workers: Annotated[int, _number(1), "WEB_CONCURRENCY"] = 1

    @property
    def notices(self) -> dict[str, str]:
        """Settings without effect, each with the reason."""
        if not self.server.reload:
            return {}
        return {"server.reload": "the relay reads a changed configuration without a restart"}


@cache
def current() -> Configuration:
    """The configuration as it was at the start of this process."""
    return load()


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration file."""
    return Path(environ.get("CONFIG_PATH") or DEFAULT_FILE)


def state_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of documents and posted versions."""
    named = environ.get("RELAY_STATE_DIR", "").strip()
    return Path(named) if named else Path(environ.get("VAR_DIR") or ".") / DEFAULT_STATE_DIRECTORY


def trusted_proxies(environ: Mapping[str, str] = os.environ) -> str:
    """The proxies that ``server.proxy_headers`` trusts, as ``REALTIME_TRUSTED_PROXIES`` names them."""
    trusted = environ.get("FORWARDED_ALLOW_IPS", "").strip() or "127.0.0.1"
    return "0.0.0.0/0, ::/0, unix" if trusted == "*" else trusted


def load(environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read the file and the variables. Raises ImproperlyConfigured."""
    file = path(environ)
    values = _merge(_file_settings(file), _variable_settings(environ))
    if values.get("environment_key_pairs") is None:
        missing = "" if file.is_file() else f" (there is no {file})"
        raise ImproperlyConfigured(
            f"environment_key_pairs must be set, in the file CONFIG_PATH{missing} or as ENVIRONMENT_KEY_PAIRS: "
            '[{"server_side_key": "ser.…", "client_side_key": "…"}].'
        )
    return _read(Configuration, values)


def example() -> Json:
    """An Edge Proxy's settings with their defaults, as ``edge-proxy-render-config`` writes them, and one key pair."""
    return {
        "environment_key_pairs": [{"server_side_key": "ser.environment-key", "client_side_key": "environment-key"}],
        "api_url": ",".join(Configuration.api_urls),
        "api_poll_frequency_seconds": Configuration.api_poll_frequency_seconds,
        "api_poll_timeout_seconds": Configuration.api_poll_timeout_seconds,
        "allow_origins": ["*"],
        "logging": {"log_format": "generic", "log_level": "INFO"},
        "server": {"host": Server.host, "port": Server.port, "timeout_keep_alive": Server.timeout_keep_alive},
        "health_check": {"environment_update_grace_period_seconds": 30},
    }


def _file_settings(file: Path) -> Json:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"CONFIG_PATH: {file} cannot be read ({getattr(error, 'strerror', None) or error})."
        ) from None
    parsed = _json(f"CONFIG_PATH: {file}", text)
    if not isinstance(parsed, dict):
        raise ImproperlyConfigured(f"CONFIG_PATH: {file} must contain a JSON object.")
    return {name: value for name, value in _by_first_names(parsed).items() if not name.isupper()}


def _variable_settings(environ: Mapping[str, str]) -> Json:
    stripped = {name: text.strip() for name, text in environ.items() if text.strip()}
    texts = {name.lower(): text for name, text in stripped.items()} | stripped
    found: Json = _by_first_names(texts)
    for name in STRUCTURED & found.keys():
        found[name] = _json(name.upper(), found[name])
    if "server_proxy_headers" in texts:
        # As on the Edge Proxy's documentation page.
        found = _merge({"server": {"proxy_headers": texts["server_proxy_headers"]}}, found)
    return found


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImproperlyConfigured(f"{name} must be JSON ({error}).") from None


def _by_first_names(values: Mapping[str, Any]) -> Json:
    """The settings in these values, by the first of their names."""
    every = [names for _, _, names in _fields(Configuration)]
    return {names[0]: values[name] for names in every for name in reversed(names) if name in values}


def _merge(low: Json, high: Json) -> Json:
    merged = dict(low)
    for name, value in high.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
