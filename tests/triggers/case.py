"""What a case is: one action, and whom it concerns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.triggers.served import ServedWorld

TEXT = {"type": "unicode", "string_value": "blue"}


@dataclass(frozen=True)
class Case:
    """An action, and whom it concerns."""

    says: str
    act: Callable[[ServedWorld], Any]
    """The one call."""
    events: str = ""
    """The environments, A and B, that get exactly one event; the others get none."""
    needs: tuple[str, ...] = ()
    """The attributes of the world that have to be there before."""
    silent: str = ""
    """The environments whose SDKs read something else afterwards, but are not told."""
    unheard: str = ""
    """The environments whose version rises, but whose streams the action itself has silenced."""
    gone: str = ""
    """The environments that are no more afterwards."""
    gate: bool = True
    """Whether real time is on before the call."""
    cosmetic: bool = False
    """Announced although no byte that SDKs read changes by it, as upstream does."""

    def __str__(self) -> str:
        return self.says


def case(says: str, events: str, act: Callable[[ServedWorld], Any], needs: str = "", **more: Any) -> Case:
    return Case(says, act, events, tuple(needs.split()), **more)
