"""Fields of ``flags/`` and ``identities/`` that environment documents lack. A server with a database has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class FeatureFields(NamedTuple):
    """Fields of a feature."""

    created_date: str | None = None
    """ISO 8601."""

    description: str | None = None
    initial_value: str | None = None
    default_enabled: bool | None = None


class StateFields(NamedTuple):
    """Primary keys of a feature state, and of its identity or ``feature_segment``."""

    state_id: int | None = None
    identity_id: int | None = None
    feature_segment_id: int | None = None


@dataclass(frozen=True)
class StoredFields:
    """The fields of an environment's features and feature states. Those that are missing are null in responses."""

    features: Mapping[int, FeatureFields] = field(default_factory=dict)
    """By primary key."""

    states: Mapping[int, StateFields] = field(default_factory=dict)
    """By ``django_id``. A feature state that is missing has its ``django_id`` as primary key."""
