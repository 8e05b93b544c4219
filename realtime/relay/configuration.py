"""The relay's configuration: that of Flagsmith's Edge Proxy, unchanged, and the relay's own variables.

The Edge Proxy reads a JSON file (``CONFIG_PATH``, ``config.json`` by default), and environment variables of the same
names in any case, which take precedence. Variables of objects and lists are JSON; objects are merged with the file's.
Unknown names are ignored. Two of its settings have an older name as well.
"""

import ipaddress
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

SERVER_KEY_PREFIX = "ser."

DEFAULT_FILE = "config.json"

DEFAULT_STATE_DIRECTORY = "relay-state"

DATABASE_FILE = "posted-versions.sqlite3"
"""The file of posted versions in that directory."""

ALIASES = {
    "api_poll_frequency": "api_poll_frequency_seconds",
    "api_poll_timeout": "api_poll_timeout_seconds",
}

COLOURS = ("colours", "colors", "colour")
"""The last one is on the Edge Proxy's documentation page only."""

OBJECTS = ("endpoint_caches", "logging", "server", "health_check")
LISTS = ("environment_key_pairs", "allow_origins")
VALUES = ("api_url", *ALIASES.values())

TRUE = ("1", "true", "yes", "on", "t", "y")
FALSE = ("0", "false", "no", "off", "f", "n")

LOG_FORMATS = ("generic", "json")
LOG_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")

# Of one upstream.
MAX_URLS = 2

STREAMING = ("document", "always")
TRAITS = ("request", "forward")

Json = dict[str, Any]


class Invalid(ImproperlyConfigured):
    """A setting has a wrong value. The message names the setting and the reason."""


@dataclass(frozen=True)
class KeyPair:
    """The keys of one environment. The client-side key is public, and is the ``api_key`` in the document."""

    server_side_key: str
    client_side_key: str


@dataclass(frozen=True)
class Logging:
    """The log's format. None: the default of ``LOG_FORMAT`` and ``LOG_LEVEL``."""

    enable_access_log: bool = False
    log_format: str | None = None
    log_level: str | None = None
    log_event_field_name: str | None = None
    colours: bool | None = None
    override: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Server:
    host: str = "0.0.0.0"  # noqa: S104
    port: int = 8000
    reload: bool = False
    proxy_headers: bool = False
    timeout_keep_alive: int = 5


@dataclass(frozen=True)
class Configuration:
    """All settings, checked."""

    environment_key_pairs: tuple[KeyPair, ...]
    api_urls: tuple[str, ...] = ("https://edge.api.flagsmith.com/api/v1",)
    """``api_url``, without a slash at the end. The next one is used when one fails."""

    api_poll_frequency_seconds: int = 10
    api_poll_timeout_seconds: int = 5
    allow_origins: tuple[str, ...] = ("*",)
    logging: Logging = Logging()
    server: Server = Server()
    grace_period_seconds: int | None = 30
    """``health_check.environment_update_grace_period_seconds``. None: documents are never stale."""

    upstream_realtime_urls: tuple[str, ...] = ()
    """The base URLs of the upstream's streams, without a slash at the end. Empty: none."""

    streaming: str = "document"
    traits: str = "request"
    notices: tuple[tuple[str, str], ...] = ()
    """Settings without effect, each with the reason."""


def current() -> Configuration:
    """The configuration in Django's settings, as it was at the start of this process."""
    configuration: Configuration = cast(Any, settings).RELAY_CONFIGURATION
    return configuration


def current_state_directory() -> Path:
    return Path(cast(Any, settings).RELAY_STATE_DIR)


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


def workers(environ: Mapping[str, str] = os.environ) -> int:
    """The number of processes. Raises Invalid."""
    return int(_variable(environ, "WEB_CONCURRENCY", _positive, 1))


def load(environ: Mapping[str, str] = os.environ) -> Configuration:
    """Read the file and the variables. Raises Invalid."""
    merged = _merge(_file_settings(path(environ)), _variable_settings(environ))
    values = _Settings(merged)
    logging, server = values.group("logging"), values.group("server")
    health_check = values.group("health_check")
    _check_endpoint_caches(values)
    return Configuration(
        environment_key_pairs=_key_pairs(values.values.get("environment_key_pairs")),
        api_urls=values.read("api_url", _urls, Configuration.api_urls),
        api_poll_frequency_seconds=values.read("api_poll_frequency_seconds", _positive, 10),
        api_poll_timeout_seconds=values.read("api_poll_timeout_seconds", _positive, 5),
        allow_origins=values.read("allow_origins", _texts, ("*",)),
        logging=Logging(
            enable_access_log=logging.read("enable_access_log", _flag, False),
            log_format=logging.read("log_format", _word(LOG_FORMATS), None),
            log_level=logging.read("log_level", _word(LOG_LEVELS), None),
            log_event_field_name=logging.read("log_event_field_name", _text, None),
            colours=logging.read(next((name for name in COLOURS if name in logging.values), COLOURS[0]), _flag, None),
            override=logging.read("override", _object, {}),
        ),
        server=Server(
            host=server.read("host", _address, Server.host),
            port=server.read("port", _port, Server.port),
            reload=server.read("reload", _flag, False),
            proxy_headers=server.read("proxy_headers", _flag, False),
            timeout_keep_alive=server.read("timeout_keep_alive", _positive, Server.timeout_keep_alive),
        ),
        grace_period_seconds=health_check.read("environment_update_grace_period_seconds", _optional_whole, 30),
        upstream_realtime_urls=_variable(environ, "UPSTREAM_REALTIME_URL", _urls, ()),
        streaming=_variable(environ, "RELAY_STREAMING", _word(STREAMING), "document"),
        traits=_variable(environ, "RELAY_TRAITS", _word(TRAITS), "request"),
        notices=tuple(_notices(server)),
    )


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
        raise Invalid(f"CONFIG_PATH: {file} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"CONFIG_PATH: {file} is not JSON ({error}).") from None
    if not isinstance(parsed, dict):
        raise Invalid(f"CONFIG_PATH: {file} must contain a JSON object.")
    return {ALIASES.get(name, name): value for name, value in _preferring_new_names(parsed)}


def _preferring_new_names(settings: Json) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in settings.items() if ALIASES.get(name) not in settings)


def _variable_settings(environ: Mapping[str, str]) -> Json:
    lowered = {name.lower(): text for name, text in environ.items()}
    found: Json = {}
    if lowered.get("server_proxy_headers"):
        # As on the Edge Proxy's documentation page.
        found["server"] = {"proxy_headers": lowered["server_proxy_headers"].strip()}
    for name in (*VALUES, *ALIASES):
        if lowered.get(name):
            found.setdefault(ALIASES.get(name, name), lowered[name].strip())
    for name in (*OBJECTS, *LISTS):
        if lowered.get(name):
            try:
                parsed = json.loads(lowered[name])
            except (ValueError, RecursionError) as error:
                raise Invalid(f"{name.upper()} must be JSON ({error}).") from None
            found = _merge(found, {name: parsed})
    return found


def _merge(low: Json, high: Json) -> Json:
    merged = dict(low)
    for name, value in high.items():
        old = merged.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


class _Settings:
    """Settings of one level, read with a check. ``prefix`` is the name of the level above."""

    def __init__(self, values: Json, prefix: str = "") -> None:
        self.values = values
        self._prefix = prefix

    def read(self, name: str, convert: Callable[[Any], Any], default: Any) -> Any:
        if name not in self.values:
            return default
        return _converted(self._prefix + name, self.values[name], convert)

    def group(self, name: str) -> "_Settings":
        value = self.values.get(name)
        if value is None and name in self.values and name == "endpoint_caches":
            return _Settings({}, f"{name}.")
        if not isinstance(value, dict) and name in self.values:
            raise Invalid(f"{self._prefix}{name} must be an object, not {value!r}.")
        return _Settings(value or {}, f"{self._prefix}{name}.")


def _converted(name: str, value: Any, convert: Callable[[Any], Any]) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise Invalid(f"{name} must be {error}, not {value!r}.") from None


def _variable(environ: Mapping[str, str], name: str, convert: Callable[[Any], Any], default: Any) -> Any:
    text = environ.get(name, "").strip()
    return _converted(name, text, convert) if text else default


def _check_endpoint_caches(settings: _Settings) -> None:
    caches = settings.group("endpoint_caches")
    for name in ("flags", "identities"):
        cache = caches.group(name)
        cache.read("use_cache", _flag, False)
        cache.read("cache_max_size", _whole, 128)


def _key_pairs(value: Any) -> tuple[KeyPair, ...]:
    if value is None:
        file = path()
        missing = "" if file.is_file() else f" (there is no {file})"
        raise Invalid(
            f"environment_key_pairs must be set, in the file CONFIG_PATH{missing} or as ENVIRONMENT_KEY_PAIRS: "
            '[{"server_side_key": "ser.…", "client_side_key": "…"}].'
        )
    if not isinstance(value, list):
        raise Invalid("environment_key_pairs must be a list of objects.")
    pairs = tuple(_key_pair(f"environment_key_pairs[{index}]", pair) for index, pair in enumerate(value))
    client_of: dict[str, str] = {}
    for pair in pairs:
        if client_of.setdefault(pair.server_side_key, pair.client_side_key) != pair.client_side_key:
            raise Invalid("environment_key_pairs: two environments have the same server_side_key.")
    return tuple(dict.fromkeys(pairs))


def _key_pair(name: str, value: Any) -> KeyPair:
    if not isinstance(value, dict):
        raise Invalid(f"{name} must be an object with server_side_key and client_side_key.")
    keys = {}
    for part in ("server_side_key", "client_side_key"):
        key = value.get(part)
        # A server-side key is secret: no message contains it.
        if not isinstance(key, str) or not key.strip():
            raise Invalid(f"{name}.{part} must be set.")
        keys[part] = key.strip()
        if not (keys[part].isascii() and keys[part].isprintable()):
            raise Invalid(f"{name}.{part} must be ASCII: it is sent in a header.")
    if not keys["server_side_key"].startswith(SERVER_KEY_PREFIX):
        raise Invalid(f"{name}.server_side_key must begin with {SERVER_KEY_PREFIX!r}.")
    if keys["client_side_key"].startswith(SERVER_KEY_PREFIX) and keys["client_side_key"] != keys["server_side_key"]:
        raise Invalid(f"{name}.client_side_key must not be another server-side key.")
    return KeyPair(**keys)


def _notices(server: _Settings) -> Iterable[tuple[str, str]]:
    if server.read("reload", _flag, False):
        yield "server.reload", "the relay reads a changed configuration without a restart"


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


def _positive(value: Any) -> int:
    number = _whole(value)
    if number < 1:
        raise ValueError("1 or more")
    return number


def _optional_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _port(value: Any) -> int:
    number = _whole(value)
    if not 0 < number < 65_536:
        raise ValueError("a port between 1 and 65535")
    return number


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


def _word(words: tuple[str, ...]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return convert
