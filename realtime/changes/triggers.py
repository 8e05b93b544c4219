"""The registry of watched models, and the environments that a change of each one affects.

Models are named by label and never imported, so the table fits any project whose models have Flagsmith's names. A
model that the project does not have is left out.
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
    """Its label, "features.FeatureState"."""

    fields: tuple[str, ...]
    """The columns that show in what SDKs read. A save that leaves them as they were changes nothing."""

    effect: Callable[[Any, RowOperation], Effect]
    """The environments that a change affects. Called before a deletion, and after a creation or an update."""

    reads: Callable[[Row], Any] = dict
    """The part of these columns that an SDK can read, if that is less than all of them."""

    locks: Callable[[Any], Iterable[EnvironmentID]] | None = None
    """The environments to lock before a row is read and written. Needed where ``effect`` depends on more than the row:
    what it depends on may change until the lock is held. None: the environments of ``effect``.
    """

    locks_first: Callable[[Any, RowOperation], Iterable["QuerySet[Any]"]] = lambda instance, operation: ()
    """The rows to lock before the environments. Their projects, if no environment may be added until the commit."""

    deletes_environments: bool = False
    """Environments are deleted together with a row."""

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
    """Its name and switches stand in the document, but are no flag's change."""
    if operation is not RowOperation.UPDATED:
        return NOTHING
    return Effect(environments_of(project__organisation_id=instance.pk), silent=True)


def organisations_projects(instance: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    """They go with the organisation."""
    return projects_of(organisation_id=instance.pk) if operation is RowOperation.DELETED else ()


def subscription(instance: Any, operation: RowOperation) -> Effect:
    """The plan is a gate where ``REALTIME_PLANS`` makes it one; no SDK reads it."""
    if not conf.PLANS:
        return NOTHING
    return Effect(environments_of(project__organisation_id=instance.organisation_id))


def environment(instance: Any, operation: RowOperation) -> Effect:
    return NOTHING if operation is RowOperation.DELETED else Effect([instance.pk])


def environments_project(instance: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    """A new environment waits for transactions that change all environments of its project, and they for it."""
    return () if operation is RowOperation.UPDATED else own_project(instance, operation)


def feature(instance: Any, operation: RowOperation) -> Effect:
    return of_project(instance)


def of_state(state: Any) -> Effect:
    """The environment of a live state, silently if the state belongs to one identity; nothing of a draft."""
    return NOTHING if state.version is None else _of_place(state)


def _of_present_state(state: Any) -> Effect:
    """``of_state`` for an instance that may be older than the lock: a draft may have been published meanwhile."""
    if state.version is None:
        state.version = type(state)._base_manager.filter(pk=state.pk).values_list("version", flat=True).first()
    return of_state(state)


def _environment_of_part(part: Any) -> Iterable[EnvironmentID]:
    return [part.feature_state.environment_id]


def _own_environment(instance: Any) -> Iterable[EnvironmentID]:
    return [instance.environment_id]


def _of_place(state: Any) -> Effect:
    silent = state.identity_id is not None and not conf.ANNOUNCE_IDENTITY_OVERRIDES
    return Effect([state.environment_id], silent)


def feature_state(instance: Any, operation: RowOperation) -> Effect:
    if operation is RowOperation.UPDATED:
        # An update that shows is one of a live state, or one that made it live, or no longer live.
        return _of_place(instance)
    if operation is RowOperation.DELETED:
        return _of_present_state(instance)
    effect = of_state(instance)
    if instance.feature_segment_id is not None and instance.identity_id is None:
        # Its value comes in a row of its own, after this one, and speaks for itself.
        default = _default(instance)
        if default is not None and default.enabled == instance.enabled:
            return effect._replace(silent=True)
    return effect


def feature_state_value(instance: Any, operation: RowOperation) -> Effect:
    state = instance.feature_state
    effect = of_state(state) if operation is RowOperation.CREATED else _of_present_state(state)
    if (
        operation is RowOperation.CREATED
        and state.feature_segment_id is not None
        and _says_nothing_new(state, instance)
    ):
        return effect._replace(silent=True)
    return effect


def _default(state: Any) -> Any:
    """The environment's own state of the same feature."""
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


def _says_nothing_new(state: Any, value: Any) -> bool:
    """Whether a new segment override gives its members what they had: the default, whole, and no other override."""
    default = _default(state)
    if default is None or default.enabled != state.enabled or default.feature_state_value.value != value.value:
        return False
    others = type(state)._base_manager.filter(
        feature_id=state.feature_id,
        environment_id=state.environment_id,
        feature_segment__isnull=False,
        version__isnull=False,
    )
    return not others.exclude(pk=state.pk).exists() and not default.multivariate_feature_state_values.exists()


def multivariate_state_value(instance: Any, operation: RowOperation) -> Effect:
    state = instance.feature_state
    return of_state(state) if operation is RowOperation.CREATED else _of_present_state(state)


def multivariate_option(instance: Any, operation: RowOperation) -> Effect:
    return of_project(instance.feature)


def feature_segment(instance: Any, operation: RowOperation) -> Effect:
    """An override's place in the order. Without a state it overrides nothing yet."""
    has_state = operation is not RowOperation.CREATED and instance.feature_states.filter(version__isnull=False).exists()
    return Effect([instance.environment_id]) if has_state else NOTHING


def segment(instance: Any, operation: RowOperation) -> Effect:
    return of_project(instance)


def _segment_of(rule: Any) -> Any:
    """The segment of a rule, which may be nested in other rules; None of a rule without one."""
    while rule.segment_id is None and rule.rule_id is not None:
        rule = rule.rule
    return rule.segment if rule.segment_id is not None else None


def segment_rule(instance: Any, operation: RowOperation) -> Effect:
    segment = _segment_of(instance)
    return of_project(segment) if segment is not None else NOTHING


def rules_project(rule: Any, operation: RowOperation) -> Iterable["QuerySet[Any]"]:
    segment = _segment_of(rule)
    return own_project(segment, operation) if segment is not None else ()


def condition(instance: Any, operation: RowOperation) -> Effect:
    return segment_rule(instance.rule, operation)


def identity(instance: Any, operation: RowOperation) -> Effect:
    """An identity that has overrides stands in the document with its name."""
    if operation is RowOperation.CREATED or not instance.identity_features.exists():
        return NOTHING
    return Effect([instance.environment_id], silent=not conf.ANNOUNCE_IDENTITY_OVERRIDES)


VALUE = ("type", "string_value", "integer_value", "boolean_value")


def typed(row: Row) -> Any:
    """A typed value's columns keep old values of the other types; only the one that the type names is read."""
    column = {"int": "integer_value", "bool": "boolean_value"}.get(row["type"], "string_value")
    rest = {name: value for name, value in row.items() if name not in VALUE}
    return column, row[column], rest


def live(row: Row) -> Any:
    """Nobody reads a state without a version."""
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
        (
            "name",
            "api_key",
            "allow_client_traits",
            "hide_disabled_flags",
            "hide_sensitive_data",
            "use_identity_composite_key_for_hashing",
            "use_identity_overrides_in_local_eval",
        ),
        environment,
        locks=lambda row: [row.pk],
        locks_first=environments_project,
        deletes_environments=True,
    ),
    Watch(
        "features.Feature",
        ("name", "type", "description", "initial_value", "default_enabled", "is_server_key_only"),
        feature,
        locks_first=own_project,
    ),
    Watch("features.FeatureState", ("enabled", "version"), feature_state, reads=live, locks=_own_environment),
    Watch("features.FeatureStateValue", VALUE, feature_state_value, reads=typed, locks=_environment_of_part),
    Watch("features.FeatureSegment", ("priority",), feature_segment, locks=_own_environment),
    Watch(
        "multivariate.MultivariateFeatureOption",
        (*VALUE, "key", "default_percentage_allocation"),
        multivariate_option,
        reads=typed,
        locks_first=lambda option, operation: projects_of(pk=option.feature.project_id),
    ),
    Watch(
        "multivariate.MultivariateFeatureStateValue",
        ("percentage_allocation",),
        multivariate_state_value,
        locks=_environment_of_part,
    ),
    Watch("segments.Segment", ("name",), segment, locks_first=own_project),
    Watch("segments.SegmentRule", ("type",), segment_rule, locks_first=rules_project),
    Watch(
        "segments.Condition",
        ("operator", "property", "value"),
        condition,
        locks_first=lambda condition, operation: rules_project(condition.rule, operation),
    ),
    Watch("identities.Identity", ("identifier",), identity),
)
