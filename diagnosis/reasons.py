"""Reasons why an application receives no events: a closed gate, or a key that is not the environment's.

Keys of other tenants, and of environments that the user may not see, are answered like keys that nobody has.
"""

from collections.abc import Collection
from dataclasses import dataclass

from environments.models import Environment, EnvironmentAPIKey
from projects.models import Project
from projects.services import plan_of
from realtime import hosts
from realtime.conf import conf
from realtime.inspector.panel import Panel

MAX_SERVER_KEYS = 100


@dataclass(frozen=True)
class CheckedKey:
    """The answer to a key that a user has entered."""

    text: str
    is_right: bool = False
    """Whether the key is the environment's own."""

    counted_key: str = ""
    """The key, if the user may know the number of open streams with it."""


def server_keys(environment: Environment) -> dict[str, str]:
    """The names of the environment's server-side keys by key."""
    keys = environment.api_keys.order_by("-pk").values_list("key", "name")
    return dict(keys[:MAX_SERVER_KEYS])


def streams_with_server_keys(data: Panel, names: dict[str, str], *, may_see_names: bool) -> list[tuple[str, int]]:
    """The server-side keys with open streams: their names, if the user may see them, and the number of streams."""
    found = [(name, data.streams_of[key]) for key, name in names.items() if data.streams_of[key]]
    if may_see_names:
        return found
    return [("", sum(number for _, number in found))] if found else []


def gate_closed_reason(project: Project) -> str:
    """The reason why no environment of the project sends events; "" if they are sent."""
    if not project.enable_realtime_updates:
        return f"Real-time updates are off in {project.name}."
    plan = plan_of(project.organisation) if conf.PLANS else None
    return "" if hosts.plan_allows(plan) else f"The plan of {project.organisation.name} excludes real-time updates."


def check(environment: Environment, visible: Collection[Environment], text: str) -> CheckedKey:
    """Explain what a stream with the key ``text`` receives, as far as the user may know, who may see ``visible``."""
    key = text.strip()
    if not key or not hosts.is_valid_key(key):
        return CheckedKey("No environment can have such a key.")
    found = next((each for each in visible if each.api_key == key), None)
    if found == environment:
        reason = gate_closed_reason(environment.project)
        return CheckedKey(f"This is the key of {environment.name}. {reason}".strip(), is_right=True)
    if found is not None:
        return CheckedKey(f"This is the key of {found.name}: the application receives the events of {found.name}.")
    server_key = EnvironmentAPIKey.objects.filter(key=key).select_related("environment").first()
    if server_key is not None and server_key.environment in visible:
        owner = server_key.environment
        text = f"This is a server-side key of {owner.name}. Streams need the client-side key, {owner.api_key}."
        return CheckedKey(text, counted_key=key)
    # Without a number of streams, which would distinguish a key that nobody has from one that the user may not see.
    unknown = "No environment that you may see has this key: it has a typing error, or it was deleted or revoked."
    return CheckedKey(unknown)
