"""What is wrong with the configuration, said at start."""

from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured

from webhooks.conf import conf


@register(Tags.compatibility)
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """Every setting can be read, and the file that one names is there."""
    messages: list[CheckMessage] = []
    for name in conf.DEFAULTS:
        try:
            getattr(conf, name)
        except ImproperlyConfigured as error:
            messages.append(Error(str(error), hint="Set it right or leave it out.", id="webhooks.E001"))
    if conf.CA_FILE and not Path(conf.CA_FILE).is_file():
        messages.append(Error(f"WEBHOOKS_CA_FILE: there is no file {conf.CA_FILE!r}.", id="webhooks.E002"))
    return messages
