"""The environment document: what an SDK needs to evaluate an environment's flags, read from the database.

Whatever SDKs get (flags, an identity's flags, the document itself) comes from here, so they cannot differ. It is read
in one snapshot, with a number of queries that does not grow with what there is.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from environments.models import Environment
from evaluation.engine import JSON_PATH, Json, value_for
from features.models import Feature as FeatureModel
from features.models import FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import Value, ValueType
from realtime.types import UpdatedAt
from segments.models import Condition, Segment, SegmentRule

Row = TypeVar("Row", bound=tuple[Any, ...] | dict[str, Any])

VALUE = ("type", "string_value", "integer_value", "boolean_value")

# Levels of a segment's tree. The Admin API stores two; the limit ends the reading of rules that lie in a circle.
DEPTH = 10

# Their conditions have no value. Every other one has: where none is stored, the server reads it as empty, and an SDK
# that gets null raises.
WITHOUT_VALUE = frozenset({Condition.Operator.IS_SET, Condition.Operator.IS_NOT_SET})


# What a bounded document holds at most. Flagsmith's own limits (400 features, 100 segments and their overrides) come to
# 1,500 rows; to read those and to make flags/ of them takes 40 ms, of which JSON takes 5 ms without a pause.
ROWS = 2_000
CHARACTERS = 500_000


# What makes a JSONPath select many nodes: descendants, wildcards, filters, slices, several selectors. Such a path can
# take seconds in a small document: a filter within a filter takes time by the square of the features. Without these a
# path takes as many steps as it has segments.
QUERY = ("..", "*", "?", ":", ",")


class TooExpensive(Exception):
    """The document holds more than a bounded one may, or a condition with a JSONPath query."""


class Version(NamedTuple):
    """Which state of which environment. Two documents of one version are equal, byte for byte."""

    environment_id: int
    revision: int
    updated_at: UpdatedAt

    @classmethod
    def of(cls, environment: Environment) -> "Version":
        """The version that the environment had when it was read."""
        return cls(environment.pk, environment.revision, environment.updated_at)


class Feature(NamedTuple):
    """What SDKs get to see of a feature itself."""

    id: int
    name: str
    type: str
    created_date: datetime
    description: str | None
    initial_value: str | None
    default_enabled: bool
    is_server_key_only: bool


class Place(NamedTuple):
    """Which feature state it is, and where it stands: all None for the environment's default."""

    state_id: int
    identity_id: int | None = None
    feature_segment_id: int | None = None
    segment_id: int | None = None
    segment_name: str | None = None


@dataclass(frozen=True)
class Head:
    """The environment's own row with those of its project and organisation: the snapshot's first query."""

    version: Version
    row: Mapping[str, Any]


@dataclass(frozen=True)
class EnvironmentDocument:
    """An environment at one version. Shared by threads: nobody changes it."""

    version: Version

    last_modified: int
    """Unix time in whole seconds: of this revision alone. 0: none."""

    content: Json
    """The document that SDKs get, as in Flagsmith. Values are those of JSON."""

    identity_overrides: list[Json]
    """All of them, in the document's form; ``content`` has them only if the environment wants them there."""

    features: dict[int, Feature]
    """By primary key."""

    places: dict[int, Place]
    """By the document's ``django_id``."""

    is_expensive: bool
    """It is larger than a bounded one may be, or has a condition with a JSONPath query."""

    @property
    def hides_disabled_flags(self) -> bool:
        """The environment's own setting, or the project's where it has none."""
        own = self.content["hide_disabled_flags"]
        return bool(self.content["project"]["hide_disabled_flags"] if own is None else own)


def read_head(environment_id: int) -> Head:
    """Read what the document begins with. Raises Environment.DoesNotExist.

    To be called inside of a snapshot, before ``build``: its version says whether there is anything to build.
    """
    row = Environment.objects.values(
        "id",
        "uuid",
        "name",
        "api_key",
        "revision",
        "updated_at",
        "last_modified",
        "allow_client_traits",
        "hide_sensitive_data",
        "hide_disabled_flags",
        "use_identity_composite_key_for_hashing",
        "use_identity_overrides_in_local_eval",
        "project_id",
        "project__name",
        "project__hide_disabled_flags",
        "project__enable_realtime_updates",
        "project__organisation_id",
        "project__organisation__name",
        "project__organisation__feature_analytics",
        "project__organisation__stop_serving_flags",
        "project__organisation__persist_trait_data",
    ).get(pk=environment_id)
    return Head(Version(row["id"], row["revision"], row["updated_at"]), row)


def build(head: Head, *, bounded: bool = False) -> EnvironmentDocument:
    """Read the rest, in the same snapshot. ``bounded``: raise ``TooExpensive`` instead of an expensive document."""
    return _Builder(head, bounded).document()


def hashing_key(environment: Mapping[str, Any], identifier: str, identity_id: int | None) -> str:
    """What an identity's shares are drawn by. ``environment`` is a document, or a head's row.

    SDKs that evaluate locally know only the composite key. An identity that is not stored has no other one either.
    """
    if identity_id is None or environment["use_identity_composite_key_for_hashing"]:
        return f"{environment['api_key']}_{identifier}"
    return str(identity_id)


class _Builder:
    """One reading: the tables that several parts of the document need, each read once."""

    def __init__(self, head: Head, bounded: bool) -> None:
        self.version, self.row = head.version, head.row
        self._rows = self._characters = 0
        self._has_queries = False
        self._bounded = bounded
        project_id = self.row["project_id"]
        features = FeatureModel.objects.filter(project_id=project_id).values_list(*Feature._fields)
        self.features = {row[0]: Feature(*row) for row in self._read(features)}
        segments = Segment.objects.filter(project_id=project_id).order_by("id").values_list("id", "name")
        self.segments: dict[int, Json] = {
            pk: {"id": pk, "name": name, "rules": [], "feature_states": []} for pk, name in self._read(segments)
        }
        if self.segments:
            self._read_rules(project_id)
        self.shares = self._read_shares(project_id)
        self.places: dict[int, Place] = {}
        self.defaults: list[Json] = []
        self.identities: dict[int, Json] = {}
        self._read_states()

    def _read(self, rows: Iterable[Row]) -> list[Row]:
        """All of the rows, if the document has room for them."""
        read = list(rows)
        columns = (row.values() if isinstance(row, dict) else row for row in read)
        self._characters += sum(len(value) for row in columns for value in row if isinstance(value, str))
        self._rows += len(read)
        self._check_size()
        return read

    def _check_size(self, further_rows: int = 0) -> None:
        is_large = self._rows + further_rows > ROWS or self._characters > CHARACTERS
        self.is_expensive = is_large or self._has_queries
        if self.is_expensive and self._bounded:
            raise TooExpensive

    def document(self) -> EnvironmentDocument:
        overrides = list(self.identities.values())
        content, date = self._content(overrides), self.row["last_modified"]
        return EnvironmentDocument(
            self.version, date, content, overrides, self.features, self.places, self.is_expensive
        )

    def _content(self, overrides: list[Json]) -> Json:
        row = self.row
        return {
            "id": row["id"],
            "api_key": row["api_key"],
            "project": {
                "id": row["project_id"],
                "name": row["project__name"],
                "organisation": {
                    "id": row["project__organisation_id"],
                    "name": row["project__organisation__name"],
                    "feature_analytics": row["project__organisation__feature_analytics"],
                    "stop_serving_flags": row["project__organisation__stop_serving_flags"],
                    "persist_trait_data": row["project__organisation__persist_trait_data"],
                },
                "hide_disabled_flags": row["project__hide_disabled_flags"],
                "segments": list(self.segments.values()),
                "enable_realtime_updates": row["project__enable_realtime_updates"],
                "server_key_only_feature_ids": [
                    pk for state in self.defaults if self.features[pk := state["feature"]["id"]].is_server_key_only
                ],
            },
            "feature_states": self.defaults,
            "identity_overrides": overrides if row["use_identity_overrides_in_local_eval"] else [],
            "name": row["name"],
            "allow_client_traits": row["allow_client_traits"],
            "updated_at": _with_microseconds(self.version.updated_at),
            "hide_sensitive_data": row["hide_sensitive_data"],
            "hide_disabled_flags": row["hide_disabled_flags"],
            "use_identity_composite_key_for_hashing": row["use_identity_composite_key_for_hashing"],
            "use_identity_overrides_in_local_eval": row["use_identity_overrides_in_local_eval"],
        }

    def _read_rules(self, project_id: int) -> None:
        """Each level of the segments' trees takes two queries."""
        level: dict[int, Json] = {}
        for depth in range(DEPTH):
            path = "rule__" * depth + "segment__project_id"
            rows = self._read(
                SegmentRule.objects.filter(**{path: project_id})
                .order_by("id")
                .values_list("id", "type", "rule_id" if depth else "segment_id")
            )
            if not rows:
                return
            above, level = level if depth else self.segments, {}
            for pk, kind, parent in rows:
                level[pk] = {"type": kind, "rules": [], "conditions": []}
                above[parent]["rules"].append(level[pk])
            conditions = Condition.objects.filter(**{f"rule__{path}": project_id}).order_by("id")
            fields = ("rule_id", "operator", "property", "value")
            for rule, operator, prop, value in self._read(conditions.values_list(*fields)):
                self._has_queries |= (
                    prop is not None and prop.startswith(JSON_PATH) and any(part in prop for part in QUERY)
                )
                stated = "" if value is None and operator not in WITHOUT_VALUE else value
                level[rule]["conditions"].append({"operator": operator, "value": stated, "property_": prop})

    def _read_shares(self, project_id: int) -> dict[int, list[Json]]:
        """The multivariate percentages of each feature state."""
        options = {
            row["id"]: {"value": _value(row), "id": row["id"], "key": row["key"]}
            for row in self._read(
                MultivariateFeatureOption.objects.filter(feature__project_id=project_id).values("id", "key", *VALUE)
            )
        }
        shares: dict[int, list[Json]] = defaultdict(list)
        rows = MultivariateFeatureStateValue.objects.filter(
            feature_state__environment_id=self.version.environment_id, feature_state__version__isnull=False
        ).order_by("id")
        fields = ("id", "feature_state_id", "multivariate_feature_option_id", "percentage_allocation", "uuid")
        for pk, state, option, percentage, identifier in self._read(rows.values_list(*fields)):
            if option in options:
                shares[state].append(
                    {
                        "multivariate_feature_option": options[option],
                        "percentage_allocation": percentage,
                        "id": pk,
                        "mv_fs_value_uuid": str(identifier),
                    }
                )
        return shares

    def _read_states(self) -> None:
        """The live states: defaults, segments' and identities' overrides."""
        states = FeatureState.objects.filter(environment_id=self.version.environment_id, version__isnull=False)
        if self._bounded:
            # Each identity may have some. Not a slice: PostgreSQL might read all tenants' rows in their order for it.
            self._check_size(states.count())
        rows = states.order_by("id").values(
            "id",
            "uuid",
            "enabled",
            "feature_id",
            "feature_segment_id",
            "feature_segment__priority",
            "feature_segment__segment_id",
            "identity_id",
            "identity__identifier",
            "identity__created_date",
            "mv_hashing_salt",
            *(f"feature_state_value__{field}" for field in VALUE),
        )
        for row in self._read(rows):
            if row["feature_id"] not in self.features:
                continue
            if row["identity_id"] is not None:
                self._add_identity_override(row)
            elif row["feature_segment_id"] is not None:
                self._add_segment_override(row)
            else:
                self.places[_django_id(row)] = Place(row["id"])
                self.defaults.append(self._state(row))

    def _add_segment_override(self, row: Mapping[str, Any]) -> None:
        segment = self.segments.get(row["feature_segment__segment_id"])
        if segment is None:
            return
        place = Place(row["id"], None, row["feature_segment_id"], segment["id"], segment["name"])
        self.places[_django_id(row)] = place
        segment["feature_states"].append(self._state(row))

    def _add_identity_override(self, row: Mapping[str, Any]) -> None:
        pk, identifier = row["identity_id"], row["identity__identifier"]
        if pk not in self.identities:
            self.identities[pk] = self._identity(pk, identifier, row["identity__created_date"])
        state = self._state(row)
        # SDKs do not split an identity's own override, so what they get is the value that the split gives it.
        state["feature_state_value"] = value_for(state, hashing_key(self.row, identifier, pk))
        self.places[_django_id(row)] = Place(row["id"], pk)
        self.identities[pk]["identity_features"].append(state)

    def _identity(self, pk: int, identifier: str, created_date: datetime) -> Json:
        return {
            "identifier": identifier,
            "environment_api_key": self.row["api_key"],
            "created_date": _with_microseconds(created_date),
            "identity_features": [],
            # Traits are set without an event and without a new version, so no document has them.
            "identity_traits": [],
            "identity_uuid": str(_identity_uuid(self.row["uuid"], pk)),
            "django_id": pk,
            "dashboard_alias": None,
            "composite_key": f"{self.row['api_key']}_{identifier}",
        }

    def _state(self, row: Mapping[str, Any]) -> Json:
        feature = self.features[row["feature_id"]]
        in_segment = row["feature_segment_id"] is not None
        return {
            "feature": {"id": feature.id, "name": feature.name, "type": feature.type},
            "enabled": row["enabled"],
            "django_id": _django_id(row),
            "feature_segment": {"priority": row["feature_segment__priority"]} if in_segment else None,
            "featurestate_uuid": str(row["uuid"]),
            "feature_state_value": _value(row, "feature_state_value__"),
            "multivariate_feature_state_values": self.shares.get(row["id"], []),
        }


def _django_id(state: Mapping[str, Any]) -> int:
    """What identities are split by: the primary key of the state that was the first at its place.

    A state that a change request puts there has another key of its own, and must not give anybody another variant.
    """
    pk: int = state["mv_hashing_salt"] or state["id"]
    return pk


def _value(row: Mapping[str, Any], prefix: str = "") -> Value:
    """The value of the column that the type names, as ``TypedValue.value`` of a model's instance."""
    column = {ValueType.INTEGER: "integer_value", ValueType.BOOLEAN: "boolean_value"}.get(
        row[f"{prefix}type"], "string_value"
    )
    value: Value = row[prefix + column]
    return value


def _with_microseconds(moment: datetime) -> str:
    """ISO 8601 with all six places, also where they are zeros."""
    return moment.isoformat(timespec="microseconds")


def _identity_uuid(environment_uuid: uuid.UUID, identity_id: int) -> uuid.UUID:
    """The same in each document. Derived, but of the form of a random one: readers of documents check for that."""
    digest = hashlib.sha256(f"{environment_uuid} {identity_id}".encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)
