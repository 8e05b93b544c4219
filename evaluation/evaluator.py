"""An environment's document, evaluated: what each flag is, for the environment or for one identity, and why.

``Evaluator`` holds the document in the flag engine's form, made once for each version; an evaluation adds the identity
to it. It is shared by threads.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import structlog
from flag_engine.context.types import EvaluationContext, FeatureContext, SegmentContext
from flag_engine.engine import get_evaluation_result
from flag_engine.result.types import EvaluationResult

from evaluation import engine
from evaluation.child import limited_evaluation
from evaluation.document import EnvironmentDocument, Feature, Place, hashing_key
from evaluation.engine import Json
from features.models import FeatureType
from features.values import Value

logger = structlog.get_logger(__name__)

TraitValues = Mapping[str, str | int | float | bool | None]

Context = EvaluationContext[Any, Any]
Segments = dict[str, SegmentContext[Any, Any]]

OWN_VALUE = "control"
"""The variant of a multivariate flag whose own value it is, and no option's."""


@dataclass(frozen=True, slots=True)
class State:
    """A live feature state: what of a flag does not depend on who asks."""

    id: int
    feature: Feature
    place: Place
    enabled: bool
    document: Json
    """The state in the document, with its multivariate percentages."""

    variant: str | None
    """Of all flags of the state: "control" if a multivariate feature's own value is all that there is."""

    is_split: bool
    """Each identity gets a variant of its own."""

    @property
    def overridden_by(self) -> Literal["IDENTITY", "SEGMENT"] | None:
        """What the state is an override for; None for an environment's default."""
        if self.place.identity_id is not None:
            return "IDENTITY"
        return "SEGMENT" if self.place.feature_segment_id is not None else None


class Flag(NamedTuple):
    """The state that won, and what it comes to for whoever asked."""

    state: State
    value: Value
    variant: str | None
    """Of a multivariate flag: the key of the option that the identity got (None if it has no key), or "control"."""

    reason: str
    """Why this state, in the flag engine's words."""


class Evaluator:
    """Answers for one version of one environment."""

    def __init__(self, document: EnvironmentDocument) -> None:
        self.document = document
        content = document.content
        self._environment: Context = {
            "environment": {"key": content["api_key"], "name": content["name"]},
            "features": {context["name"]: context for context in self._feature_contexts(content["feature_states"])},
        }
        # A segment that overrides nothing here changes no flag, so it need not be evaluated.
        self._segments: Segments = {
            str(segment["id"]): engine.segment_context(segment, self._feature_contexts(segment["feature_states"]))
            for segment in content["project"]["segments"]
            if segment["feature_states"]
        }
        self._overrides = {identity["identifier"]: identity for identity in document.identity_overrides}

    def environment_flags(self) -> list[Flag]:
        """The flags of nobody in particular: the environment's defaults."""
        return self._flags(get_evaluation_result(self._environment))

    def identity_flags(self, identifier: str, traits: TraitValues, identity_id: int | None = None) -> list[Flag]:
        """An identity's flags, one for each feature that has a state in the environment.

        ``identity_id`` is the stored identity's primary key. Overrides are found by the identifier.
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
            own = self._feature_contexts(overrides["identity_features"], engine.IDENTITY_PRIORITY)
            segments = {**segments, "": engine.identity_context(own)}
        with limited_evaluation():
            return self._flags(_evaluate(context, segments))

    def _feature_contexts(self, states: Iterable[Json], priority: float | None = None) -> list[FeatureContext[Any]]:
        return [engine.feature_context(state, self._metadata(state), priority) for state in states]

    def _metadata(self, state: Json) -> dict[str, Any]:
        place, feature = self.document.places[state["django_id"]], self.document.features[state["feature"]["id"]]
        # Conditions can read "id" by a path, as in SDKs.
        return {
            "id": feature.id,
            "state": _state(state, feature, place),
        }

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


def _state(document: Json, feature: Feature, place: Place) -> State:
    multivariate = feature.type == FeatureType.MULTIVARIATE
    is_split = multivariate and bool(document["multivariate_feature_state_values"])
    variant = OWN_VALUE if multivariate and not is_split else None
    return State(place.state_id, feature, place, document["enabled"], document, variant, is_split)


def _evaluate(context: Context, segments: Segments) -> EvaluationResult[Any, Any]:
    """Evaluate. Whatever is stored or asked, there are flags in the end.

    What cannot be evaluated by anybody has been sorted out before. What remains depends on the asker (a number of 400
    digits that is to be divided): then the segments that fail for it are left out, which costs two more rounds.
    """
    try:
        return get_evaluation_result({**context, "segments": segments})
    except Exception as error:
        logger.warning("segment_not_evaluated", environment=context["environment"]["key"], error=repr(error))
    sound = {key: segment for key, segment in segments.items() if _is_sound(context, key, segment)}
    try:
        return get_evaluation_result({**context, "segments": sound})
    except Exception:
        # Some fail only together, by reading each other's flags.
        return get_evaluation_result({**context, "segments": {key: sound[key] for key in sound if not key}})


def _is_sound(context: Context, key: str, segment: SegmentContext[Any, Any]) -> bool:
    try:
        get_evaluation_result({**context, "segments": {key: segment}})
    except Exception:
        return False
    return True
