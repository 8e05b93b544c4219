"""Evaluates an environment document with the flag engine: the flags of the environment, or those of one identity.

``Evaluator`` converts the document to the engine's evaluation context once. Each evaluation adds the identity. Threads
share it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import structlog
from flag_engine.context.types import EvaluationContext, FeatureContext, SegmentContext
from flag_engine.engine import get_evaluation_result
from flag_engine.result.types import EvaluationResult

from evaluation.document import EnvironmentDocument, Feature, StateScope, hashing_key
from evaluation.engine_context import IDENTITY_PRIORITY, Json, feature_context, identity_context, segment_context
from evaluation.worker import evaluation_time_limit
from features.models import FeatureType
from features.values import Value

logger = structlog.get_logger(__name__)

TraitValues = Mapping[str, str | int | float | bool | None]

Context = EvaluationContext[Any, Any]
Segments = dict[str, SegmentContext[Any, Any]]

CONTROL_VARIANT = "control"
"""The variant of a multivariate flag that has its feature state's own value instead of an option's."""


@dataclass(frozen=True, slots=True)
class FlagState:
    """A published feature state: the part of a flag that is equal for all identities."""

    id: int
    feature: Feature
    scope: StateScope
    enabled: bool
    document: Json
    """The feature state in the environment document, with its multivariate percentages."""

    variant: str | None
    """The variant if it is equal for all identities: "control" for a multivariate feature without options."""

    is_split: bool
    """The variant depends on the identity."""

    @property
    def overridden_by(self) -> Literal["IDENTITY", "SEGMENT"] | None:
        """The kind of override. None: the environment's default."""
        if self.scope.identity_id is not None:
            return "IDENTITY"
        return "SEGMENT" if self.scope.feature_segment_id is not None else None


class Flag(NamedTuple):
    """An evaluated flag: the feature state with the highest priority, and its value for the identity."""

    state: FlagState
    value: Value
    variant: str | None
    """For a multivariate flag: the key of the identity's option (None if the option has no key), or "control"."""

    reason: str
    """The flag engine's reason for the state."""


class Evaluator:
    """Evaluates one version of an environment."""

    def __init__(self, document: EnvironmentDocument) -> None:
        self.document = document
        content = document.content
        self._environment: Context = {
            "environment": {"key": content["api_key"], "name": content["name"]},
            "features": {context["name"]: context for context in self._feature_contexts(content["feature_states"])},
        }
        # Segments without overrides in this environment change no flag, so they are left out.
        self._segments: Segments = {
            str(segment["id"]): segment_context(segment, self._feature_contexts(segment["feature_states"]))
            for segment in content["project"]["segments"]
            if segment["feature_states"]
        }
        self._overrides = {identity["identifier"]: identity for identity in document.identity_overrides}

    def environment_flags(self) -> list[Flag]:
        """The environment's defaults."""
        return self._flags(get_evaluation_result(self._environment))

    def identity_flags(self, identifier: str, traits: TraitValues, identity_id: int | None = None) -> list[Flag]:
        """An identity's flags, one for each feature that has a state in the environment.

        ``identity_id`` is the primary key of a stored identity. Overrides are found by the identifier.
        """
        overrides = self._overrides.get(identifier)
        if identity_id is None and overrides is not None:
            identity_id = overrides["django_id"]
        context: Context = {
            **self._environment,
            "identity": {
                "identifier": identifier,
                "key": hashing_key(self.document.content, identifier, identity_id),
                "traits": dict(traits),
            },
        }
        segments = self._segments
        if overrides is not None:
            own = self._feature_contexts(overrides["identity_features"], IDENTITY_PRIORITY)
            segments = {**segments, "": identity_context(own)}
        with evaluation_time_limit():
            return self._flags(_evaluate(context, segments))

    def _feature_contexts(self, states: Iterable[Json], priority: float | None = None) -> list[FeatureContext[Any]]:
        return [feature_context(state, self._metadata(state), priority) for state in states]

    def _metadata(self, state: Json) -> dict[str, Any]:
        scope, feature = self.document.scopes[state["django_id"]], self.document.features[state["feature"]["id"]]
        # "id" is there for JSONPath conditions that read it, as in SDKs.
        return {"id": feature.id, "state": _flag_state(state, feature, scope)}

    def _flags(self, result: EvaluationResult[Any, Any]) -> list[Flag]:
        return [
            Flag(
                state := found["metadata"]["state"],
                found["value"],
                found["variant"] if state.is_split else state.variant,
                found["reason"],
            )
            for found in result["flags"].values()
        ]


def _flag_state(state: Json, feature: Feature, scope: StateScope) -> FlagState:
    multivariate = feature.type == FeatureType.MULTIVARIATE
    is_split = multivariate and bool(state["multivariate_feature_state_values"])
    variant = CONTROL_VARIANT if multivariate and not is_split else None
    return FlagState(scope.state_id, feature, scope, state["enabled"], state, variant, is_split)


def _evaluate(context: Context, segments: Segments) -> EvaluationResult[Any, Any]:
    """Evaluate, and leave out segments that raise: an identity always gets flags.

    ``engine_context`` has replaced conditions that raise for every identity. Others raise for some traits only (MODULO
    of a number with 400 digits). Then each segment is evaluated alone, and those that raise are left out.
    """
    try:
        return get_evaluation_result({**context, "segments": segments})
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
