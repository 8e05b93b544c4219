"""Flags and traits in Flagsmith's JSON shapes."""

from collections.abc import Callable
from datetime import datetime
from json import JSONEncoder
from typing import Any

from evaluation.document import EnvironmentDocument, Feature
from evaluation.evaluator import Flag

Json = dict[str, Any]


encode: Callable[[Any], str] = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""JSON as small as it gets."""


class FlagShapes:
    """The shapes of one document's flags.

    An environment has few different flags for many identities (a state, its value or one of its options), so the text
    of each is made once: to encode them for every request would take longer than to evaluate them.
    """

    def __init__(self, document: EnvironmentDocument) -> None:
        self._environment_id = document.version.environment_id
        self._hides_sensitive_data: bool = document.content["hide_sensitive_data"]
        self._texts: dict[tuple[Any, ...], str] = {}

    def flag(self, flag: Flag) -> Json:
        """An environment's flag, as ``flags/`` lists it."""
        shown, state = not self._hides_sensitive_data, flag.state
        return {
            "id": state.id if shown else None,
            "feature": _feature(state.feature, shown),
            "feature_state_value": flag.value,
            "environment": self._environment_id if shown else None,
            "identity": state.place.identity_id if shown else None,
            "feature_segment": state.place.feature_segment_id if shown else None,
            "enabled": state.enabled,
        }

    def identity_flag(self, flag: Flag) -> str:
        """An identity's flag, as ``identities/`` lists it, as text."""
        # The type, since 1 and true are equal to Python.
        key = (flag.state.id, flag.variant, type(flag.value), flag.value)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = encode({**self.flag(flag), "variant": flag.variant})
        return text


def _feature(feature: Feature, shown: bool) -> Json:
    return {
        "id": feature.id,
        "name": feature.name,
        "created_date": _zulu(feature.created_date) if shown else None,
        "description": feature.description if shown else None,
        "initial_value": feature.initial_value if shown else None,
        "default_enabled": feature.default_enabled if shown else None,
        "type": feature.type,
    }


def _zulu(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
