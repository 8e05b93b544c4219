"""Evaluates an environment document with the flag engine: the flags of the environment, or those of one identity.

The document is converted to the engine's evaluation context once. Each evaluation adds the identity, and leaves out all
that cannot change its flags:

* Segments without overrides.
* Segments whose conditions read only traits, if the engine has decided on the same values before
  (``trait_segments.py``). Those that match are replaced by segments without conditions.
* Features whose flags follow from these decisions. They are evaluated once for all identities with the same decisions.
* Features that neither a segment nor the identity overrides, and that have no multivariate options: their flags are
  those of the environment. If a condition reads features or flags (``$.flags.banner.enabled``), all features are
  evaluated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, cast

import structlog
from flag_engine.context.types import EvaluationContext, FeatureContext, SegmentContext
from flag_engine.engine import get_evaluation_result
from flag_engine.result.types import EvaluationResult

from realtime.evaluation import engine_context
from realtime.evaluation.document import (
    EnvironmentDocument,
    Feature,
    FeatureState,
    IdentityOverrides,
    Segment,
    Value,
    hashing_key,
)
from realtime.evaluation.identity import Identity
from realtime.evaluation.trait_segments import Matching, TraitSegments

logger = structlog.get_logger(__name__)

Context = EvaluationContext[Any, Any]
Features = dict[str, FeatureContext[Any]]
Segments = dict[str, SegmentContext[Any, Any]]

CONTROL_VARIANT = "control"
"""The variant of a multivariate flag that has its feature state's own value instead of an option's."""

MULTIVARIATE = "MULTIVARIATE"

# Clients choose their traits. An entry has a dict of the document's segments.
MAX_DECIDED = 100


@dataclass(frozen=True, slots=True, eq=False)
class FlagState:
    """A feature state of the document: the part of a flag that is equal for all identities."""

    document: FeatureState
    """The feature state in the environment document, with its multivariate percentages."""

    segment: Segment | None
    """The segment of a segment override."""

    is_identity_override: bool

    variant: str | None
    """The variant if it is equal for all identities: "control" for a multivariate feature without options."""

    is_split: bool
    """The variant depends on the identity."""

    @property
    def feature(self) -> Feature:
        return self.document["feature"]

    @property
    def enabled(self) -> bool:
        return self.document["enabled"]

    @property
    def overridden_by(self) -> Literal["IDENTITY", "SEGMENT"] | None:
        """The kind of override. None: the environment's default."""
        if self.is_identity_override:
            return "IDENTITY"
        return "SEGMENT" if self.segment is not None else None


class Flag(NamedTuple):
    """An evaluated flag: the feature state with the highest priority, and its value for the identity."""

    state: FlagState
    value: Value
    variant: str | None
    """For a multivariate flag: the key of the identity's option (None if the option has no key), or "control"."""

    reason: str
    """The flag engine's reason for the state."""


class Decided(NamedTuple):
    """The flags of identities in the same segments with conditions on traits, and what is left to evaluate for each."""

    flags: Mapping[str, Flag]
    """The flags of ``varying_names`` that are equal for all these identities, by feature name."""

    features: Features
    """The other features in ``varying_names``."""

    segments: Segments
    """The segments that can override these features."""


class Evaluator:
    """Evaluates one document. Threads share it."""

    def __init__(self, document: EnvironmentDocument, identity_overrides: Iterable[IdentityOverrides]) -> None:
        self._document = document
        self._base: Context = {"environment": {"key": document["api_key"], "name": document["name"]}}
        states = [feature_context(state) for state in document["feature_states"]]
        self._features: Features = {context["name"]: context for context in states}
        self._segments: Segments = {
            str(segment["id"]): _segment_context(segment)
            for segment in document["project"]["segments"]
            if segment.get("feature_states")
        }
        self._overrides = {identity["identifier"]: identity for identity in identity_overrides}
        self._override_contexts: dict[str, list[FeatureContext[Any]]] = {}
        """By identifier. Created when the identity is first evaluated."""

        self.environment_flags: dict[str, Flag] = self._flags(
            get_evaluation_result({**self._base, "features": self._features})
        )
        """The environment's defaults, by feature name."""

        reads_features = engine_context.read_features(self._segments.values())
        self._varying = self._features if reads_features else self._varying_features()
        # A condition that reads segments ("$.segments") must see their rules.
        self._trait_segments = TraitSegments({} if reads_features else self._segments)
        self._decided: dict[Matching, Decided] = {}
        self._undecided = Decided({}, self._varying, self._segments)
        self._individual_names = self._names_evaluated_for_each_identity()
        self.varying_names = frozenset(self._varying)
        """The names of features whose flags can depend on the identity, without identity overrides."""

    def _varying_features(self) -> Features:
        overridden = {override["name"] for segment in self._segments.values() for override in segment["overrides"]}
        return {
            name: feature for name, feature in self._features.items() if name in overridden or feature.get("variants")
        }

    def _names_evaluated_for_each_identity(self) -> frozenset[str]:
        """The names of features whose flags do not follow from the segments with conditions on traits only."""
        if not self._trait_segments.keys:
            return frozenset(self._varying)
        overrides = [
            (override, key in self._trait_segments.keys)
            for key, segment in self._segments.items()
            for override in segment["overrides"]
        ]
        with_variants = {name for name, feature in self._varying.items() if feature.get("variants")}
        return frozenset(with_variants).union(
            override["name"] for override, is_decided in overrides if override.get("variants") or not is_decided
        )

    def varying_flags(self, identity: Identity) -> Mapping[str, Flag]:
        """The identity's flags of the features in ``varying_names``, and of those that it overrides, by feature name.

        Its other flags are the environment's. Overrides of the document are found by the identifier.
        """
        overrides = self._override_contexts_of(identity)
        flags, features, segments = self._decide(identity)
        if overrides:
            own = {name: self._features[name] for name in _names(overrides) if name in self._features}
            # If conditions read flags, the order of features matters: all are in ``features`` then.
            features = {**features, **own}
            segments = {**segments, "": engine_context.identity_context(overrides)}
        if not features:
            return flags
        result = _evaluate({**self._identity_context(identity), "features": features}, segments)
        return {**flags, **self._flags(result)}

    def _decide(self, identity: Identity) -> Decided:
        try:
            matching = self._trait_segments.matching(identity.traits, partial(self._identity_context, identity))
        except Exception:
            # A segment raises for these traits. ``_evaluate`` finds it.
            return self._undecided
        decided = self._decided.get(matching)
        if decided is None:
            if len(self._decided) >= MAX_DECIDED:
                self._decided.clear()
            decided = self._decided[matching] = self._make_decided(matching)
        return decided

    def _make_decided(self, matching: Matching) -> Decided:
        decided_keys, individual = self._trait_segments.keys, self._individual_names
        if not decided_keys:
            return self._undecided
        matching_keys = frozenset().union(*matching)
        decided = {
            key: engine_context.decided_segment(self._segments[key], key in matching_keys)
            for key in self._segments
            if key in decided_keys
        }
        features = {name: feature for name, feature in self._varying.items() if name not in individual}
        result = get_evaluation_result({**self._base, "features": features, "segments": decided})
        left = {
            key: engine_context.restricted_segment(decided.get(key, segment), individual)
            for key, segment in self._segments.items()
        }
        return Decided(
            self._flags(result),
            {name: feature for name, feature in self._varying.items() if name in individual},
            {key: segment for key, segment in left.items() if segment["overrides"]},
        )

    def identity_flags(self, identity: Identity) -> list[Flag]:
        """An identity's flags, one for each feature that has a state in the environment."""
        varying = self.varying_flags(identity)
        return [varying.get(name, flag) for name, flag in self.environment_flags.items()]

    def segments(self, identity: Identity) -> list[Segment]:
        """The project's segments that the identity belongs to, with or without overrides in the environment."""
        overrides = self._override_contexts_of(identity)
        own = {"": engine_context.identity_context(overrides)} if overrides else {}
        context: Context = {**self._identity_context(identity), "features": self._features}
        result = _evaluate(context, {**self._all_segments, **own})
        ids = {found["metadata"]["id"] for found in result["segments"] if "metadata" in found}
        return [segment for segment in self._document["project"]["segments"] if segment["id"] in ids]

    @cached_property
    def _all_segments(self) -> Segments:
        return {
            # With the metadata of SDKs.
            str(segment["id"]): {**_segment_context(segment), "metadata": {"id": segment["id"], "source": "api"}}
            for segment in self._document["project"]["segments"]
        }

    def _identity_context(self, identity: Identity) -> Context:
        identity_id = identity.id
        if identity_id is None and (overrides := self._overrides.get(identity.identifier)) is not None:
            identity_id = overrides.get("django_id")
        return {
            **self._base,
            "identity": {
                "identifier": identity.identifier,
                "key": hashing_key(self._document, identity.identifier, identity_id),
                "traits": identity.trait_values,
            },
        }

    def _override_contexts_of(self, identity: Identity) -> list[FeatureContext[Any]]:
        if identity.overrides is not None:
            return _override_contexts(identity.overrides)
        overrides = self._overrides.get(identity.identifier)
        if overrides is None:
            return []
        contexts = self._override_contexts.get(identity.identifier)
        if contexts is None:
            contexts = _override_contexts(overrides["identity_features"])
            self._override_contexts[identity.identifier] = contexts
        return contexts

    def _flags(self, result: EvaluationResult[Any, Any]) -> dict[str, Flag]:
        return {
            name: Flag(
                state := found["metadata"]["state"],
                found["value"],
                found["variant"] if state.is_split else state.variant,
                found["reason"],
            )
            for name, found in result["flags"].items()
        }


def feature_context(
    state: FeatureState, segment: Segment | None = None, priority: float | None = None
) -> FeatureContext[Any]:
    """Convert a feature state. Its evaluated flag gets the ``FlagState`` from the metadata."""
    multivariate = state["feature"]["type"] == MULTIVARIATE
    is_split = multivariate and bool(state.get("multivariate_feature_state_values"))
    variant = CONTROL_VARIANT if multivariate and not is_split else None
    is_identity_override = priority == engine_context.IDENTITY_PRIORITY
    flag_state = FlagState(state, segment, is_identity_override, variant, is_split)
    # "id" is there for JSONPath conditions that read it, as in SDKs.
    return engine_context.feature_context(state, {"id": state["feature"]["id"], "state": flag_state}, priority)


def _segment_context(segment: Segment) -> SegmentContext[Any, Any]:
    overrides = [feature_context(state, segment) for state in segment.get("feature_states", ())]
    return engine_context.segment_context(segment, overrides)


def _override_contexts(states: Iterable[FeatureState]) -> list[FeatureContext[Any]]:
    return [feature_context(state, priority=engine_context.IDENTITY_PRIORITY) for state in states]


def _names(features: Iterable[FeatureContext[Any]]) -> Iterable[str]:
    return (feature["name"] for feature in features)


def _evaluate(context: Context, segments: Segments) -> EvaluationResult[Any, Any]:
    """Evaluate, and leave out segments that raise: an identity always gets flags.

    ``engine_context`` has replaced conditions that raise for every identity. Others raise for some traits only (MODULO
    of a number with 400 digits). Then each segment is evaluated alone, and those that raise are left out.
    """
    try:
        return get_evaluation_result({**context, "segments": cast(dict[str, Any], segments)})
    except Exception as error:
        logger.warning("segment_not_evaluated", environment=context["environment"]["key"], error=repr(error))
    evaluable = {key: segment for key, segment in segments.items() if _is_evaluable(context, key, segment)}
    try:
        return get_evaluation_result({**context, "segments": evaluable})
    except Exception:
        # Segments that read each other's flags can raise only together. Keep the identity's overrides (key "").
        return get_evaluation_result({**context, "segments": {key: evaluable[key] for key in evaluable if not key}})


def _is_evaluable(context: Context, key: str, segment: SegmentContext[Any, Any]) -> bool:
    try:
        get_evaluation_result({**context, "segments": {key: segment}})
    except Exception:
        return False
    return True
