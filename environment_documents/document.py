"""The environment document: all that an SDK needs to evaluate an environment's flags, read from the database.

All responses to SDKs (flags, an identity's flags, the document) are computed from it, so they cannot contradict each
other. It is read in one snapshot. The number of queries does not depend on the number of rows.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from environments.models import Environment
from features.models import Feature as FeatureModel
from features.models import FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import Value, ValueType
from realtime.evaluation import EnvironmentDocument, FeatureFields, StateFields, StoredFields
from realtime.evaluation.document import HashingSettings, IdentityOverrides, hashing_key
from realtime.evaluation.engine_context import JSON_PATH, value_for
from realtime.types import UpdatedAt, epoch_seconds
from segments.models import Condition, Segment, SegmentRule

Json = dict[str, Any]

Row = TypeVar("Row", bound=tuple[Any, ...] | dict[str, Any])

VALUE_FIELDS = ("type", "string_value", "integer_value", "boolean_value")

# Levels of a segment's rules. The Admin API stores two. The limit is for rules that contain each other in a cycle.
MAX_RULE_DEPTH = 10

# Conditions with these operators have no value. For all others null is served as an empty string: SDKs raise on null.
OPERATORS_WITHOUT_VALUE = frozenset({Condition.Operator.IS_SET, Condition.Operator.IS_NOT_SET})


# The limits of a bounded document. Flagsmith's own limits (400 features, 100 segments and their overrides) allow 1,500
# rows. Reading these and encoding flags/ takes 40 ms, 5 ms of it in the JSON encoder, which does not release the GIL.
MAX_BOUNDED_ROWS = 2_000
MAX_BOUNDED_CHARACTERS = 500_000


# Parts of a JSONPath that select many nodes: descendants, wildcards, filters, slices, several selectors. A path with
# them can take seconds even in a small document: a filter in a filter takes quadratic time. Without them, the time is
# linear in the length of the path.
JSON_PATH_QUERY_PARTS = ("..", "*", "?", ":", ",")


class TooExpensive(Exception):
    """The document exceeds the limits of a bounded one, or has a condition with a JSONPath query."""


class Version(NamedTuple):
    """The version of an environment. Two documents of one version are equal, byte for byte."""

    environment_id: int
    revision: int
    updated_at: UpdatedAt

    @classmethod
    def of(cls, environment: Environment) -> "Version":
        """The version that the environment had when it was read."""
        return cls(environment.pk, environment.revision, environment.updated_at)

    @property
    def revision_name(self) -> str:
        """Equal only if environment and content of the document are equal."""
        return f"{self.environment_id} {self.revision} {epoch_seconds(self.updated_at)}"


class FeatureRow(NamedTuple):
    """The fields of a feature that SDKs get."""

    id: int
    name: str
    type: str
    created_date: datetime
    description: str | None
    initial_value: str | None
    default_enabled: bool
    is_server_key_only: bool


@dataclass(frozen=True)
class EnvironmentRow:
    """The row of the environment joined with its project and organisation: the snapshot's first query."""

    version: Version
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class VersionedDocument:
    """The document of an environment at one version. Immutable: threads share it."""

    version: Version

    last_modified: int
    """Unix time in whole seconds, different for each revision. 0: unknown."""

    content: EnvironmentDocument

    identity_overrides: list[IdentityOverrides]
    """All identity overrides. ``content`` has them only with ``use_identity_overrides_in_local_eval``."""

    features: list[FeatureRow]

    stored_fields: StoredFields

    is_expensive: bool
    """The document exceeds the limits of a bounded one, or has a condition with a JSONPath query."""


def read_environment_row(environment_id: int) -> EnvironmentRow:
    """Read the environment's row. Raises Environment.DoesNotExist.

    Call it and ``build`` in one snapshot. If a document of its version is cached, ``build`` is not needed.
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
    return EnvironmentRow(Version(row["id"], row["revision"], row["updated_at"]), row)


def build(environment_row: EnvironmentRow, *, bounded: bool = False) -> VersionedDocument:
    """Read the other tables, in the same snapshot. ``bounded``: raise ``TooExpensive`` for an expensive document."""
    return _DocumentBuilder(environment_row, bounded).document()


class _DocumentBuilder:
    """Reads each table once, and builds the document from the rows."""

    def __init__(self, environment_row: EnvironmentRow, bounded: bool) -> None:
        self.version, self.columns = environment_row.version, environment_row.columns
        self._rows = self._characters = 0
        self._has_queries = False
        self._bounded = bounded
        project_id = self.columns["project_id"]
        features = FeatureModel.objects.filter(project_id=project_id).values_list(*FeatureRow._fields)
        self.features = {row[0]: FeatureRow(*row) for row in self._read(features)}
        segments = Segment.objects.filter(project_id=project_id).order_by("id").values_list("id", "name")
        self.segments: dict[int, Json] = {
            pk: {"id": pk, "name": name, "rules": [], "feature_states": []} for pk, name in self._read(segments)
        }
        if self.segments:
            self._read_rules(project_id)
        self.multivariate_values = self._read_multivariate_values(project_id)
        self.state_fields: dict[int, StateFields] = {}
        self.defaults: list[Json] = []
        self.identities: dict[int, Json] = {}
        self._read_states()

    def _read(self, rows: Iterable[Row]) -> list[Row]:
        """Read all rows, and check the document's size."""
        read = list(rows)
        columns = (row.values() if isinstance(row, dict) else row for row in read)
        self._characters += sum(len(value) for row in columns for value in row if isinstance(value, str))
        self._rows += len(read)
        self._check_size()
        return read

    def _check_size(self, further_rows: int = 0) -> None:
        is_large = self._rows + further_rows > MAX_BOUNDED_ROWS or self._characters > MAX_BOUNDED_CHARACTERS
        self.is_expensive = is_large or self._has_queries
        if self.is_expensive and self._bounded:
            raise TooExpensive

    def document(self) -> VersionedDocument:
        overrides: Any = list(self.identities.values())
        features = list(self.features.values())
        stored = StoredFields({feature.id: _feature_fields(feature) for feature in features}, self.state_fields)
        content, date = self._content(overrides), self.columns["last_modified"]
        return VersionedDocument(self.version, date, content, overrides, features, stored, self.is_expensive)

    def _content(self, overrides: list[Json]) -> EnvironmentDocument:
        columns = self.columns
        content: Any = {
            "id": columns["id"],
            "api_key": columns["api_key"],
            "project": {
                "id": columns["project_id"],
                "name": columns["project__name"],
                "organisation": {
                    "id": columns["project__organisation_id"],
                    "name": columns["project__organisation__name"],
                    "feature_analytics": columns["project__organisation__feature_analytics"],
                    "stop_serving_flags": columns["project__organisation__stop_serving_flags"],
                    "persist_trait_data": columns["project__organisation__persist_trait_data"],
                },
                "hide_disabled_flags": columns["project__hide_disabled_flags"],
                "segments": list(self.segments.values()),
                "enable_realtime_updates": columns["project__enable_realtime_updates"],
                "server_key_only_feature_ids": [
                    pk for state in self.defaults if self.features[pk := state["feature"]["id"]].is_server_key_only
                ],
            },
            "feature_states": self.defaults,
            "identity_overrides": overrides if columns["use_identity_overrides_in_local_eval"] else [],
            "name": columns["name"],
            "allow_client_traits": columns["allow_client_traits"],
            "updated_at": _with_microseconds(self.version.updated_at),
            "hide_sensitive_data": columns["hide_sensitive_data"],
            "hide_disabled_flags": columns["hide_disabled_flags"],
            "use_identity_composite_key_for_hashing": columns["use_identity_composite_key_for_hashing"],
            "use_identity_overrides_in_local_eval": columns["use_identity_overrides_in_local_eval"],
        }
        document: EnvironmentDocument = content
        return document

    def _read_rules(self, project_id: int) -> None:
        """Read the rules of all segments, with two queries for each level."""
        level: dict[int, Json] = {}
        for depth in range(MAX_RULE_DEPTH):
            path = "rule__" * depth + "segment__project_id"
            rows = self._read(
                SegmentRule.objects.filter(**{path: project_id})
                .order_by("id")
                .values_list("id", "type", "rule_id" if depth else "segment_id")
            )
            if not rows:
                return
            parents, level = level if depth else self.segments, {}
            for pk, kind, parent in rows:
                level[pk] = {"type": kind, "rules": [], "conditions": []}
                parents[parent]["rules"].append(level[pk])
            conditions = Condition.objects.filter(**{f"rule__{path}": project_id}).order_by("id")
            fields = ("rule_id", "operator", "property", "value")
            for rule, operator, prop, value in self._read(conditions.values_list(*fields)):
                self._has_queries |= prop is not None and _is_json_path_query(prop)
                served_value = "" if value is None and operator not in OPERATORS_WITHOUT_VALUE else value
                level[rule]["conditions"].append({"operator": operator, "value": served_value, "property_": prop})

    def _read_multivariate_values(self, project_id: int) -> dict[int, list[Json]]:
        """The options and percentages of each multivariate feature state."""
        options_of_project = MultivariateFeatureOption.objects.filter(feature__project_id=project_id)
        options = {
            row["id"]: {"value": _value(row), "id": row["id"], "key": row["key"]}
            for row in self._read(options_of_project.values("id", "key", *VALUE_FIELDS))
        }
        values: dict[int, list[Json]] = defaultdict(list)
        rows = MultivariateFeatureStateValue.objects.filter(
            feature_state__environment_id=self.version.environment_id, feature_state__version__isnull=False
        ).order_by("id")
        fields = ("id", "feature_state_id", "multivariate_feature_option_id", "percentage_allocation", "uuid")
        for pk, state, option, percentage, identifier in self._read(rows.values_list(*fields)):
            if option in options:
                values[state].append(
                    {
                        "multivariate_feature_option": options[option],
                        "percentage_allocation": percentage,
                        "id": pk,
                        "mv_fs_value_uuid": str(identifier),
                    }
                )
        return values

    def _read_states(self) -> None:
        """Read the published feature states: defaults, segment overrides and identity overrides."""
        states = FeatureState.objects.filter(environment_id=self.version.environment_id, version__isnull=False)
        if self._bounded:
            # Identities can have very many overrides. A LIMIT instead of the count could make PostgreSQL scan the
            # primary key of all tenants' rows.
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
            *(f"feature_state_value__{field}" for field in VALUE_FIELDS),
        )
        for row in self._read(rows):
            if row["feature_id"] not in self.features:
                continue
            if row["identity_id"] is not None:
                self._add_identity_override(row)
            elif row["feature_segment_id"] is not None:
                self._add_segment_override(row)
            else:
                self.state_fields[_django_id(row)] = StateFields(row["id"])
                self.defaults.append(self._state(row))

    def _add_segment_override(self, row: Mapping[str, Any]) -> None:
        segment = self.segments.get(row["feature_segment__segment_id"])
        if segment is None:
            return
        self.state_fields[_django_id(row)] = StateFields(row["id"], None, row["feature_segment_id"])
        segment["feature_states"].append(self._state(row))

    def _add_identity_override(self, row: Mapping[str, Any]) -> None:
        pk, identifier = row["identity_id"], row["identity__identifier"]
        if pk not in self.identities:
            self.identities[pk] = self._identity(pk, identifier, row["identity__created_date"])
        state: Any = self._state(row)
        # SDKs ignore the options of an identity's override, so the value of its option is set here.
        state["feature_state_value"] = value_for(state, hashing_key(self._hashing_settings, identifier, pk))
        self.state_fields[_django_id(row)] = StateFields(row["id"], pk)
        self.identities[pk]["identity_features"].append(state)

    @property
    def _hashing_settings(self) -> HashingSettings:
        columns: Any = self.columns
        settings: HashingSettings = columns
        return settings

    def _identity(self, pk: int, identifier: str, created_date: datetime) -> Json:
        return {
            "identifier": identifier,
            "environment_api_key": self.columns["api_key"],
            "created_date": _with_microseconds(created_date),
            "identity_features": [],
            # Always empty: traits change without a new version.
            "identity_traits": [],
            "identity_uuid": str(_identity_uuid(self.columns["uuid"], pk)),
            "django_id": pk,
            "dashboard_alias": None,
            "composite_key": f"{self.columns['api_key']}_{identifier}",
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
            "multivariate_feature_state_values": self.multivariate_values.get(row["id"], []),
        }


def _is_json_path_query(prop: str) -> bool:
    return prop.startswith(JSON_PATH) and any(part in prop for part in JSON_PATH_QUERY_PARTS)


def _django_id(state: Mapping[str, Any]) -> int:
    """The id that is hashed for percentage splits: the primary key of the first feature state in this scope.

    A change request replaces the feature state by a new row, which must not change the variant of any identity.
    """
    pk: int = state["mv_hashing_salt"] or state["id"]
    return pk


def _value(row: Mapping[str, Any], prefix: str = "") -> Value:
    """The value of the column that the type names, like ``TypedValue.value`` of a model instance."""
    column = {ValueType.INTEGER: "integer_value", ValueType.BOOLEAN: "boolean_value"}.get(
        row[f"{prefix}type"], "string_value"
    )
    value: Value = row[prefix + column]
    return value


def _feature_fields(row: FeatureRow) -> FeatureFields:
    created_date = row.created_date.isoformat().replace("+00:00", "Z")
    return FeatureFields(created_date, row.description, row.initial_value, row.default_enabled)


def _with_microseconds(moment: datetime) -> str:
    """ISO 8601, always with six decimal places."""
    return moment.isoformat(timespec="microseconds")


def _identity_uuid(environment_uuid: uuid.UUID, identity_id: int) -> uuid.UUID:
    """The same in every document. In the format of a random UUID (version 4), which readers of documents check."""
    digest = hashlib.sha256(f"{environment_uuid} {identity_id}".encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)
