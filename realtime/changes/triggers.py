"""The registry of watched models, and the environments that a change of each one affects.

Models are named by label and not imported, so the table fits any project whose models have Flagsmith's names. Models
that the project does not have are skipped.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import QuerySet

from realtime.changes.rows import Row
from realtime.conf import conf
from realtime.types import NOTHING, Effect, EnvironmentID, RowOperation


@dataclass(frozen=True)
class Watch:
    """A watched model."""

    model: str
    """The label, such as "features.FeatureState"."""

    fields: tuple[str, ...]
    """The columns that SDKs can read. A save that does not change them raises no version."""

    effect: Callable[[Any, RowOperation], Effect]
    """Returns the environments that the operation affects. Called before a deletion, and after a creation or update."""

    reads: Callable[[Row], Any] = dict
    """Returns what SDKs read of these columns' values, if that is not all of them."""

    locks: Callable[[Any], Iterable[EnvironmentID]] | None = None
    """Returns the environments to lock before the row is read and written; None: those of ``effect``.

    Needed if ``effect`` depends on other rows, which may change until the lock is held.
    """

    locks_first: Callable[[Any, RowOperation], Iterable["QuerySet[Any]"]] = lambda instance, operation: ()
    """Returns the rows to lock before the environments: their projects, if no environment may be added until the
    commit.
    """

    deletes_environments: bool = False
    """Environments are deleted together with the row."""

    gate: bool = False
    """A change may open or close the gate."""

    def environments_to_lock(self, instance: Any, operation: RowOperation) -> Iterable[EnvironmentID]:
        return self.effect(instance, operation).environments if self.locks is None else self.locks(instance)


def environments_of(**lookup: Any) -> Iterable[EnvironmentID]:
    environments: QuerySet[Any] = apps.get_model(conf.ENVIRONMENT_MODEL)._base_manager.filter(**lookup)
    return environments.values_list("pk", flat=True)


def projects_of(**lookup: Any) -> Iterable["QuerySet[Any]"]:
    """The projects to lock, if environments of this host have a project."""
    field = apps.get_model(conf.ENVIRONMENT_MODEL)._meta.get_field("project")
    return [field.related_model._base_manager.filter(**lookup)]


def own_project(instance: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    return projects_of(pk=instance.project_id)


def of_project(instance: Any) -> Effect:
    return Effect(environments_of(project_id=instance.project_id))


def project(instance: Any, operation: RowOperation) -> Effect:
    return Effect(environments_of(project_id=instance.pk)) if operation is RowOperation.UPDATED else NOTHING


def organisation(instance: Any, operation: RowOperation) -> Effect:
    """The name and switches are in the environment document, but change no flag, so the change is silent."""
    if operation is not RowOperation.UPDATED:
        return NOTHING
    return Effect(environments_of(project__organisation_id=instance.pk), silent=True)


def organisations_projects(instance: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    """The organisation's projects, which are deleted with it."""
    return projects_of(organisation_id=instance.pk) if operation is RowOperation.DELETED else ()


def subscription(instance: Any, operation: RowOperation) -> Effect:
    """The plan is not read by SDKs, but is part of the gate if ``REALTIME_PLANS`` is set."""
    if not conf.PLANS:
        return NOTHING
    return Effect(environments_of(project__organisation_id=instance.organisation_id))


def environment(instance: Any, operation: RowOperation) -> Effect:
    return NOTHING if operation is RowOperation.DELETED else Effect([instance.pk])


def environments_project(instance: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    """The project, so that adding or deleting an environment excludes changes of all the project's environments."""
    return () if operation is RowOperation.UPDATED else own_project(instance, operation)


def in_own_project(instance: Any, operation: RowOperation) -> Effect:
    return of_project(instance)


def of_state(state: Any) -> Effect:
    """The environment of a published state, silently for an identity's override; nothing for a draft."""
    return NOTHING if state.version is None else _effect_in_environment(state)


def _of_current_state(state: Any) -> Effect:
    """``of_state`` for an instance read before the lock was taken: reads its version again, if it was a draft."""
    if state.version is None:
        state.version = type(state)._base_manager.filter(pk=state.pk).values_list("version", flat=True).first()
    return of_state(state)


def _environment_of_value(part: Any) -> Iterable[EnvironmentID]:
    return [part.feature_state.environment_id]


def _own_environment(instance: Any) -> Iterable[EnvironmentID]:
    return [instance.environment_id]


def _effect_in_environment(state: Any) -> Effect:
    silent = state.identity_id is not None and not conf.ANNOUNCE_IDENTITY_OVERRIDES
    return Effect([state.environment_id], silent)


def feature_state(instance: Any, operation: RowOperation) -> Effect:
    if operation is RowOperation.UPDATED:
        # Drafts are included, because a visible update may have changed the state from or to a draft.
        return _effect_in_environment(instance)
    if operation is RowOperation.DELETED:
        return _of_current_state(instance)
    effect = of_state(instance)
    if instance.feature_segment_id is not None and instance.identity_id is None:
        # The override's value is created in a row of its own, after this one. If ``enabled`` equals the default, only
        # the value can be a change.
        default = _default_state(instance)
        if default is not None and default.enabled == instance.enabled:
            return effect._replace(silent=True)
    return effect


def part_of_state(instance: Any, operation: RowOperation) -> Effect:
    """A row that belongs to a feature state."""
    state = instance.feature_state
    return of_state(state) if operation is RowOperation.CREATED else _of_current_state(state)


def feature_state_value(instance: Any, operation: RowOperation) -> Effect:
    effect, state = part_of_state(instance, operation), instance.feature_state
    if operation is RowOperation.CREATED and state.feature_segment_id is not None and _equals_default(state, instance):
        return effect._replace(silent=True)
    return effect


def _default_state(state: Any) -> Any:
    """The environment's default state of the same feature."""
    return (
        type(state)
        ._base_manager.filter(
            feature_id=state.feature_id,
            environment_id=state.environment_id,
            identity=None,
            feature_segment=None,
            version__isnull=False,
        )
        .select_related("feature_state_value")
        .first()
    )


def _equals_default(state: Any, value: Any) -> bool:
    """Return True if a new segment override changes nothing for its members.

    It must equal the environment's default, and be the only segment override of the feature.
    """
    default = _default_state(state)
    if default is None or default.enabled != state.enabled or default.feature_state_value.value != value.value:
        return False
    others = type(state)._base_manager.filter(
        feature_id=state.feature_id,
        environment_id=state.environment_id,
        feature_segment__isnull=False,
        version__isnull=False,
    )
    return not others.exclude(pk=state.pk).exists() and not default.multivariate_feature_state_values.exists()


def feature_segment(instance: Any, operation: RowOperation) -> Effect:
    """The priority of a segment override. Without a published state it overrides nothing."""
    has_state = operation is not RowOperation.CREATED and instance.feature_states.filter(version__isnull=False).exists()
    return Effect([instance.environment_id]) if has_state else NOTHING


def _segment_of(rule: Any) -> Any:
    """The segment of a rule, which may be nested in other rules; None if it has none."""
    while rule.segment_id is None and rule.rule_id is not None:
        rule = rule.rule
    return rule.segment if rule.segment_id is not None else None


def segment_rule(instance: Any, operation: RowOperation) -> Effect:
    segment = _segment_of(instance)
    return of_project(segment) if segment is not None else NOTHING


def rules_project(rule: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    segment = _segment_of(rule)
    return own_project(segment, operation) if segment is not None else ()


def identity(instance: Any, operation: RowOperation) -> Effect:
    """The environment document contains the identifiers of identities that have overrides."""
    if operation is RowOperation.CREATED or not instance.identity_features.exists():
        return NOTHING
    return Effect([instance.environment_id], silent=not conf.ANNOUNCE_IDENTITY_OVERRIDES)


VALUE_COLUMNS = ("type", "string_value", "integer_value", "boolean_value")

ENVIRONMENT_COLUMNS = (
    "name",
    "api_key",
    "allow_client_traits",
    "hide_disabled_flags",
    "hide_sensitive_data",
    "use_identity_composite_key_for_hashing",
    "use_identity_overrides_in_local_eval",
)


def read_value(row: Row) -> Any:
    """What SDKs read of a typed value: only the column of its type. The other columns may hold old values."""
    column = {"int": "integer_value", "bool": "boolean_value"}.get(row["type"], "string_value")
    rest = {name: value for name, value in row.items() if name not in VALUE_COLUMNS}
    return column, row[column], rest


def published(row: Row) -> Any:
    """What SDKs read of a feature state: nothing of a draft, which has no version."""
    return None if row["version"] is None else row["enabled"]


WATCHED = (
    Watch(
        "organisations.Organisation",
        ("name", "feature_analytics", "stop_serving_flags", "persist_trait_data"),
        organisation,
        locks=lambda row: environments_of(project__organisation_id=row.pk),
        locks_first=organisations_projects,
        deletes_environments=True,
    ),
    Watch(
        "organisations.Subscription",
        ("plan",),
        subscription,
        locks=lambda row: environments_of(project__organisation_id=row.organisation_id) if conf.PLANS else (),
        gate=True,
    ),
    Watch(
        "projects.Project",
        ("name", "hide_disabled_flags", "enable_realtime_updates"),
        project,
        locks=lambda row: environments_of(project_id=row.pk),
        locks_first=lambda row, operation: projects_of(pk=row.pk),
        deletes_environments=True,
        gate=True,
    ),
    Watch(
        "environments.Environment",
        ENVIRONMENT_COLUMNS,
        environment,
        locks=lambda row: [row.pk],
        locks_first=environments_project,
        deletes_environments=True,
    ),
    Watch(
        "features.Feature",
        ("name", "type", "description", "initial_value", "default_enabled", "is_server_key_only"),
        in_own_project,
        locks_first=own_project,
    ),
    Watch("features.FeatureState", ("enabled", "version"), feature_state, reads=published, locks=_own_environment),
    Watch(
        "features.FeatureStateValue", VALUE_COLUMNS, feature_state_value, reads=read_value, locks=_environment_of_value
    ),
    Watch("features.FeatureSegment", ("priority",), feature_segment, locks=_own_environment),
    Watch(
        "multivariate.MultivariateFeatureOption",
        (*VALUE_COLUMNS, "key", "default_percentage_allocation"),
        lambda option, operation: of_project(option.feature),
        reads=read_value,
        locks_first=lambda option, operation: projects_of(pk=option.feature.project_id),
    ),
    Watch(
        "multivariate.MultivariateFeatureStateValue",
        ("percentage_allocation",),
        part_of_state,
        locks=_environment_of_value,
    ),
    Watch("segments.Segment", ("name",), in_own_project, locks_first=own_project),
    Watch("segments.SegmentRule", ("type",), segment_rule, locks_first=rules_project),
    Watch(
        "segments.Condition",
        ("operator", "property", "value"),
        lambda condition, operation: segment_rule(condition.rule, operation),
        locks_first=lambda condition, operation: rules_project(condition.rule, operation),
    ),
    Watch("identities.Identity", ("identifier",), identity),
)
