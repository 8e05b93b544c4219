"""JSON encoding of flags in Flagsmith's format."""

from collections.abc import Callable
from datetime import datetime
from json import JSONEncoder
from typing import Any

from evaluation.document import EnvironmentDocument, Feature
from evaluation.evaluator import Flag

Json = dict[str, Any]


encode: Callable[[Any], str] = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Encode as compact JSON."""


class FlagEncoder:
    """Encodes the flags of one document.

    All identities of an environment share a small number of different flags (a feature state, with its value or one of
    its options). The JSON of each is cached: encoding it for every request would take longer than the evaluation.
    """

    def __init__(self, document: EnvironmentDocument) -> None:
        self._environment_id = document.version.environment_id
        self._hides_sensitive_data: bool = document.content["hide_sensitive_data"]
        self._identity_flags: dict[tuple[Any, ...], str] = {}

    def flag(self, flag: Flag) -> Json:
        """A flag of the environment, as in ``flags/``."""
        show_all, state = not self._hides_sensitive_data, flag.state
        return {
            "id": state.id if show_all else None,
            "feature": _feature(state.feature, show_all),
            "feature_state_value": flag.value,
            "environment": self._environment_id if show_all else None,
            "identity": state.scope.identity_id if show_all else None,
            "feature_segment": state.scope.feature_segment_id if show_all else None,
            "enabled": state.enabled,
        }

    def identity_flag(self, flag: Flag) -> str:
        """The JSON text of an identity's flag, as in ``identities/``."""
        # The key has the value's type, because 1 == True.
        key = (flag.state.id, flag.variant, type(flag.value), flag.value)
        text = self._identity_flags.get(key)
        if text is None:
            text = self._identity_flags[key] = encode({**self.flag(flag), "variant": flag.variant})
        return text


def _feature(feature: Feature, show_all: bool) -> Json:
    return {
        "id": feature.id,
        "name": feature.name,
        "created_date": _with_z_suffix(feature.created_date) if show_all else None,
        "description": feature.description if show_all else None,
        "initial_value": feature.initial_value if show_all else None,
        "default_enabled": feature.default_enabled if show_all else None,
        "type": feature.type,
    }


def _with_z_suffix(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
