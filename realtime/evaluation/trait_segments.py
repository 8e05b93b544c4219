"""Segments whose conditions read only traits, and a cache of the flag engine's decisions about them.

All identities with the same values of these traits are in the same segments. Most traits of conditions have few values
(a plan, a country), so the engine decides once for each, and not for each request.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from flag_engine.context.types import EvaluationContext, SegmentContext

from realtime.compat.flag_engine import is_context_in_segment
from realtime.evaluation import engine_context
from realtime.evaluation.identity import IdentityTrait

Context = EvaluationContext[Any, Any]
Segments = dict[str, SegmentContext[Any, Any]]

Matching = tuple[frozenset[str], ...]
"""The keys of the segments that an identity is in, for each group of segments that read the same traits."""

# Cached decisions of one document, and the length of the text in one. Clients choose their traits, so they could fill
# the memory: a decision takes some 300 bytes.
MAX_DECISIONS = 500
MAX_TEXT_LENGTH = 100


class TraitSegments:
    """The segments of one document whose conditions read only traits."""

    def __init__(self, segments: Segments) -> None:
        groups: defaultdict[tuple[str, ...], Segments] = defaultdict(dict)
        for key, segment in segments.items():
            names = engine_context.trait_names(segment)
            if names is not None:
                groups[names][key] = segment
        self._groups = list(enumerate(groups.items()))
        self.keys = frozenset(key for group in groups.values() for key in group)
        self._decisions: dict[Hashable, frozenset[str]] = {}
        """The keys of the matching segments, by group and values of its traits."""

    def matching(self, traits: Mapping[str, IdentityTrait], make_context: Callable[[], Context]) -> Matching:
        """The segments that an identity with these traits is in. Raises what the engine raises for them."""
        return tuple(
            [
                decision
                if (decision := self._decisions.get(key := _decision_key(index, names, traits))) is not None
                else self._decide(key, segments, make_context())
                for index, (names, segments) in self._groups
            ]
        )

    def _decide(self, key: tuple[Any, ...], segments: Segments, context: Context) -> frozenset[str]:
        decision = frozenset(name for name, segment in segments.items() if is_context_in_segment(context, segment))
        if len(self._decisions) >= MAX_DECISIONS:
            self._decisions.clear()
        if _text_length(key) <= MAX_TEXT_LENGTH:
            self._decisions[key] = decision
        return decision


def _decision_key(index: int, names: tuple[str, ...], traits: Mapping[str, IdentityTrait]) -> tuple[Any, ...]:
    return (index, *[_typed_value(traits.get(name)) for name in names])


def _text_length(key: tuple[Any, ...]) -> int:
    return sum(len(str(value[1])) for value in key[1:] if value is not None)


def _typed_value(trait: IdentityTrait | None) -> tuple[type, Hashable] | None:
    """The value with its type: the engine distinguishes 1, 1.0 and true, and also 0.0 and -0.0."""
    if trait is None:
        return None
    value = trait.trait_value
    return type(value), repr(value) if isinstance(value, float) else value
