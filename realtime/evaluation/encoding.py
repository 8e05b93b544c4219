"""JSON encoding of flags and identities in Flagsmith's format."""

from collections.abc import Callable, Iterable
from json import JSONEncoder
from typing import Any

from realtime.evaluation.document import EnvironmentDocument, Feature
from realtime.evaluation.evaluator import Flag, FlagState
from realtime.evaluation.identity import IdentityTrait
from realtime.evaluation.stored_fields import FeatureFields, StateFields, StoredFields

Json = dict[str, Any]


encode: Callable[[Any], str] = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Encode as compact JSON."""

NO_FEATURE_FIELDS = FeatureFields()


class FlagEncoder:
    """Encodes the flags of one document.

    All identities of an environment share a small number of different flags (a feature state, with its value or one of
    its options). The JSON of each is cached: encoding it for every request would take longer than the evaluation.
    """

    def __init__(self, document: EnvironmentDocument, stored: StoredFields) -> None:
        self._environment_id = document["id"]
        self._hides_sensitive_data = bool(document.get("hide_sensitive_data"))
        self._stored = stored
        self._identity_flags: dict[tuple[Any, ...], bytes] = {}

    def flag(self, flag: Flag) -> Json:
        """A flag of the environment, as in ``flags/``."""
        show_all, state = not self._hides_sensitive_data, flag.state
        fields = self._state_fields(state)
        return {
            "id": fields.state_id if show_all else None,
            "feature": self._feature(state.feature, show_all),
            "feature_state_value": flag.value,
            "environment": self._environment_id if show_all else None,
            "identity": fields.identity_id if show_all else None,
            "feature_segment": fields.feature_segment_id if show_all else None,
            "enabled": state.enabled,
        }

    def identity_flag(self, flag: Flag) -> bytes:
        """The JSON of an identity's flag, as in ``identities/``."""
        state, value, variant, _ = flag
        # The key has the value's type, because 1 == True.
        key = (state, variant, type(value), value)
        encoded = self._identity_flags.get(key)
        if encoded is None:
            encoded = self._identity_flags[key] = encode({**self.flag(flag), "variant": variant}).encode()
        return encoded

    def _state_fields(self, state: FlagState) -> StateFields:
        django_id = state.document.get("django_id")
        fields = None if django_id is None else self._stored.states.get(django_id)
        return StateFields(django_id) if fields is None else fields

    def _feature(self, feature: Feature, show_all: bool) -> Json:
        fields = self._stored.features.get(feature["id"], NO_FEATURE_FIELDS) if show_all else NO_FEATURE_FIELDS
        return {
            "id": feature["id"],
            "name": feature["name"],
            "created_date": fields.created_date,
            "description": fields.description,
            "initial_value": fields.initial_value,
            "default_enabled": fields.default_enabled,
            "type": feature["type"],
        }


def encode_traits(traits: Iterable[IdentityTrait]) -> str:
    """The JSON of an identity's traits, as in ``identities/``."""
    return encode([trait._asdict() for trait in traits])
