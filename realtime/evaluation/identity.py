"""The identity that flags are evaluated for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from realtime.evaluation.document import FeatureState

TraitValue = str | int | float | bool | None


class IdentityTrait(NamedTuple):
    """A trait that the flags are evaluated with, with the fields of the response. Without ``id``, it is not stored."""

    id: int | None
    trait_key: str
    trait_value: TraitValue
    transient: bool


@dataclass
class Identity:
    """An identity with its traits. Without ``id``, it is not stored."""

    identifier: str
    id: int | None = None
    traits: dict[str, IdentityTrait] = field(default_factory=dict)
    """By trait key."""

    overrides: Sequence[FeatureState] | None = None
    """The identity's overrides. None: those of the document."""

    @property
    def trait_values(self) -> dict[str, TraitValue]:
        return {key: trait.trait_value for key, trait in self.traits.items()}
