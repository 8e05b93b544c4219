"""GRIP_URL: the publishing endpoint of a GRIP proxy, with its keys, from the environment (docs/grip.md)."""

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

NEEDS_KEY = {"control_iss": "iss", "verify_key": "verify-key", "verify_iss": "verify-iss"}


def settings() -> dict[str, str]:
    """The setting that ``GRIP_URL`` becomes; empty without it. Raises ImproperlyConfigured."""
    url = os.environ.get("GRIP_URL", "").strip()
    if not url:
        return {}
    if problem := problem_of(url):
        raise ImproperlyConfigured(problem)
    return {"GRIP_URL": url}


def problem_of(url: str) -> str | None:
    """The problem of a GRIP URL and its remedy, without the URL, which has a secret; None if there is none."""
    # Imported here, because it imports an HTTP client.
    from gripcontrol import parse_grip_uri

    remedy = "Use http://host:port or https://host/path, with ?iss=NAME&key=SECRET if the proxy needs a key."
    try:
        parts = urlsplit(url)
        is_endpoint = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        config = parse_grip_uri(url)
    except ValueError as error:
        return f"GRIP_URL cannot be read: {error}. {remedy}"
    if not is_endpoint or not url.isascii() or not url.isprintable() or " " in url:
        return f"GRIP_URL is not the URL of a publishing endpoint. {remedy}"
    if "?" in config["control_uri"] or parts.fragment:
        return "GRIP_URL has an unknown parameter. It may have iss, key, verify-iss and verify-key."
    if "key" not in config and (names := [name for field, name in NEEDS_KEY.items() if field in config]):
        return f"GRIP_URL has {', '.join(names)} without key. Add the parameter key."
    return None
