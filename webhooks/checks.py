"""System checks of the webhook settings."""

from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from webhooks.conf import conf


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Check that all settings can be read, and that the file of ``WEBHOOKS_CA_FILE`` exists."""
    messages: list[CheckMessage] = []
    for name in conf.names():
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            messages.append(Error(str(error), hint="Correct the value or remove the setting.", id="webhooks.E001"))
    if conf.CA_FILE and not Path(conf.CA_FILE).is_file():
        messages.append(Error(f"WEBHOOKS_CA_FILE: the file {conf.CA_FILE!r} does not exist.", id="webhooks.E002"))
    return messages
