"""Parses settings from environment variables. Errors name the variable."""

import os
import re
from collections.abc import Collection, Mapping

from django.core.exceptions import ImproperlyConfigured

from realtime.conf import FALSE, TRUE

# Calls per second, minute, hour or day, or per several of them: Django REST framework's rates, and "10/15min".
RATE = re.compile(r"[0-9]+/([1-9][0-9]{0,5})?[smhd][a-z]*")


def flag(name: str, default: bool = False, environ: Mapping[str, str] = os.environ) -> bool:
    """The variable as a boolean: 1/true/yes/on or 0/false/no/off, in any case."""
    text = environ.get(name)
    if text is None:
        return default
    if text.strip().lower() in TRUE:
        return True
    if text.strip().lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {text!r}.")


def names(name: str, default: str = "", environ: Mapping[str, str] = os.environ) -> list[str]:
    """The variable as a list of comma-separated words."""
    return [word.strip() for word in environ.get(name, default).split(",") if word.strip()]


def integer(name: str, default: int, minimum: int = 1, environ: Mapping[str, str] = os.environ) -> int:
    """The variable as an integer of at least ``minimum``."""
    text = environ.get(name, str(default)).strip()
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < minimum:
        raise ImproperlyConfigured(f"{name} must be a whole number, {minimum} or more, not {text!r}.")
    return int(text)


def seconds(name: str, default: float, environ: Mapping[str, str] = os.environ) -> float:
    """The variable as a number of seconds above zero."""
    text = environ.get(name, str(default)).strip()
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not float(text):
        raise ImproperlyConfigured(f"{name} must be a number of seconds above 0, not {text!r}.")
    return float(text)


def rate(name: str, default: str, environ: Mapping[str, str] = os.environ) -> str:
    """The variable as a rate of calls: ``20/min``, ``10/15min``."""
    text = environ.get(name, default).strip()
    if not RATE.fullmatch(text):
        raise ImproperlyConfigured(f"{name} must be a rate of calls such as {default}, not {text!r}.")
    return text


def choice(name: str, default: str, choices: Collection[str], environ: Mapping[str, str] = os.environ) -> str:
    """The variable as one of these words, in any case."""
    text = environ.get(name, default).strip().upper()
    if text not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {text!r}.")
    return text


def required(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """The variable's text; ImproperlyConfigured when it is missing or empty."""
    text = environ.get(name, "").strip()
    if not text:
        raise ImproperlyConfigured(f"{name} must be set.")
    return text


def prefixed(prefix: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All variables with this prefix, as text by their full names."""
    return {name: text for name, text in environ.items() if name.startswith(prefix)}
