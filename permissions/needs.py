"""What a rule asks of a caller, as data. Tests compute from it who gets in, and compare that with real answers."""

from dataclasses import dataclass
from typing import Literal

MEMBER = "member"
ADMIN = "admin"

Level = Literal["organisation", "project", "environment"]


@dataclass(frozen=True)
class Anyone:
    """Nothing at all."""


@dataclass(frozen=True)
class Nobody:
    """There is nothing here: whoever is signed in is answered 404."""


@dataclass(frozen=True)
class SignedIn:
    """A user's token or, unless ``user``, a master API key."""

    user: bool = False


@dataclass(frozen=True)
class Has:
    """A permission's key at this level, or ``MEMBER`` or ``ADMIN`` there; who is an admin needs no key.

    Who may not even see the organisation, the project or the environment is told that it does not exist.
    """

    level: Level
    key: str


@dataclass(frozen=True)
class SDKKey:
    """A key of the environment, in the header that SDKs send it in."""

    server: bool = False
    """A server-side one."""


@dataclass(frozen=True)
class Secret:
    """A secret of the installation, which nobody has by the database."""


@dataclass(frozen=True)
class Either:
    first: "Needs"
    second: "Needs"


@dataclass(frozen=True)
class Both:
    first: "Needs"
    second: "Needs"


@dataclass(frozen=True)
class Reaching:
    """Nobody signed in is refused, but only what the caller has this for is found: anything else is a 404.

    ``user``: a master API key is refused.
    """

    needs: "Needs"
    user: bool = False


@dataclass(frozen=True)
class ByTarget:
    """It depends on what the call is about."""

    special: "Needs"
    """A feature with multivariate options; an override for a segment."""

    otherwise: "Needs"


Needs = Anyone | Nobody | SignedIn | Has | SDKKey | Secret | Either | Both | Reaching | ByTarget
