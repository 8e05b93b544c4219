"""Imports features into an environment: all of them or none, with a constant number of queries for new features.

A feature that the project does not have is created, with its usual defaults in the other environments. One that it has
is skipped, or overwritten in this environment only: its default gets the file's state, and its overrides of segments
and identities are removed, as in Flagsmith. The bulk writes are announced and reported here. Callers hold the project's
lock.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from core.changes import report
from environments.models import Environment
from features.changes import (
    AboutToChangeStates,
    FeaturesCreated,
    IdentityOverridesDeleted,
    OptionsReplaced,
    StateKey,
)
from features.defaults import create_default_states
from features.feature_segments.services import remove_all
from features.feature_states.bulk import StateContent, StateWrite, write_states
from features.feature_states.services import remove_states, require_direct_writes
from features.import_export.models import FeatureImport, Strategy
from features.models import Feature, FeatureSegment, FeatureState, FeatureType
from features.multivariate.models import MultivariateFeatureOption
from features.multivariate.percentages import exceed_100
from features.multivariate.services import set_type
from features.state_summaries import default_states, live_states
from features.values import VALUE_COLUMNS
from realtime.changes import triggers, versions
from users.models import FFAdminUser

Item = Mapping[str, Any]
"""A validated feature of the file. ``columns`` has the columns of its value, each option has its own."""

OptionKey = tuple[Any, Any]
"""Type and value of an option: the file has no ids, which differ between projects."""


class Target(NamedTuple):
    """A feature that gets the state of an item, with all its options."""

    item: Item
    feature: Feature
    options: list[MultivariateFeatureOption]


def import_features(
    environment: Environment, items: Iterable[Item], strategy: str, creator: FFAdminUser | None
) -> FeatureImport:
    """Import the features of a file. ``creator`` owns the new ones."""
    require_direct_writes(environment)
    existing = {each.name.lower(): each for each in _features(environment)}
    items = list(items)
    new = [item for item in items if item["name"].lower() not in existing]
    present = [item for item in items if item["name"].lower() in existing]
    done = FeatureImport(environment=environment, strategy=strategy, created_features=len(new))
    if strategy == Strategy.SKIP:
        done.skipped_features = len(present)
        present = []
    else:
        done.overwritten_features = len(present)
    overwritten = [(item, existing[item["name"].lower()]) for item in present]
    done.removed_overrides = _remove_overrides(environment, [feature.pk for _, feature in overwritten])
    targets = [
        Target(item, feature, _add_options(environment, feature, item["multivariate"])) for item, feature in overwritten
    ]
    _write_defaults(environment, targets + _create_features(environment, new, creator))
    done.save()
    return done


def _features(environment: Environment) -> Iterable[Feature]:
    return Feature.objects.filter(project=environment.project_id).prefetch_related("multivariate_options")


def _create_features(environment: Environment, items: list[Item], creator: FFAdminUser | None) -> list[Target]:
    """Create features with their options and their states in each environment."""
    if not items:
        return []
    project = environment.project
    versions.announce(project.environments.values_list("pk", flat=True))
    features = Feature.objects.bulk_create(
        Feature(
            project=project,
            type=FeatureType.MULTIVARIATE if item["multivariate"] else FeatureType.STANDARD,
            **{name: item[name] for name in ("name", "initial_value", "default_enabled", "is_server_key_only")},
        )
        for item in items
    )
    if creator is not None:
        owners = Feature.owners.through
        owners.objects.bulk_create(owners(feature=feature, ffadminuser=creator) for feature in features)
    options = MultivariateFeatureOption.objects.bulk_create(
        MultivariateFeatureOption(
            feature=feature, default_percentage_allocation=each["default_percentage_allocation"], **each["columns"]
        )
        for item, feature in zip(items, features, strict=True)
        for each in item["multivariate"]
    )
    states = create_default_states(features, project.environments.all())
    numbers = {feature.pk: len(item["multivariate"]) for item, feature in zip(items, features, strict=True)}
    report(FeaturesCreated(features, states, numbers))
    by_feature: dict[int, list[MultivariateFeatureOption]] = {feature.pk: [] for feature in features}
    for option in options:
        by_feature[option.feature_id].append(option)
    return [Target(item, feature, by_feature[feature.pk]) for item, feature in zip(items, features, strict=True)]


def _add_options(environment: Environment, feature: Feature, items: Iterable[Item]) -> list[MultivariateFeatureOption]:
    """Add the options that the feature does not have, and return all that it has.

    The new ones get no share in other environments, whose flags stay. An option keeps the file's default percentage if
    the feature's others leave it, otherwise it has 0 %.
    """
    stored = list(feature.multivariate_options.all())
    keys = {_key(option) for option in stored}
    new = [each for each in items if (each["type"], each["value"]) not in keys]
    if not new:
        return stored
    versions.announce([environment.pk])
    defaults = [option.default_percentage_allocation for option in stored]
    for each in new:
        percentage = each["default_percentage_allocation"]
        defaults.append(0 if exceed_100([*defaults, percentage]) else percentage)
    added = MultivariateFeatureOption.objects.bulk_create(
        MultivariateFeatureOption(feature=feature, default_percentage_allocation=percentage, **each["columns"])
        for each, percentage in zip(new, defaults[len(stored) :], strict=True)
    )
    report(OptionsReplaced(feature, added=len(added)))
    set_type(feature, FeatureType.MULTIVARIATE)
    return [*stored, *added]


def _write_defaults(environment: Environment, targets: list[Target]) -> None:
    states = default_states(environment).select_related("feature", "feature_state_value", "environment__project")
    stored = {each.feature_id: each for each in states.prefetch_related("multivariate_feature_state_values")}
    writes = []
    for item, feature, all_options in targets:
        state = stored.get(feature.pk) or FeatureState(environment=environment, feature=feature)
        before = StateContent.of(state) if state.pk is not None else StateContent(False, {}, {})
        options = {_key(option): option.pk for option in all_options}
        shares = {options[each["type"], each["value"]]: each["percentage_allocation"] for each in item["multivariate"]}
        value = {**dict.fromkeys(VALUE_COLUMNS), **before.value, **item["columns"]}
        # Options that the file does not have keep their share's row, which decides the order, with 0 %.
        content = StateContent(item["enabled"], value, {**dict.fromkeys(before.shares, 0), **shares})
        writes.append(StateWrite(state, content))
    write_states(environment, writes, StateContent(False, {}, {}))


def _remove_overrides(environment: Environment, features: list[int]) -> int:
    """Remove the overrides of segments and identities. Returns their number."""
    states = live_states(environment).filter(feature__in=features)
    # A feature segment without a live state is part of a change request.
    of_segments = set(states.filter(feature_segment__isnull=False).values_list("feature_segment", flat=True))
    identities = states.filter(identity__isnull=False)
    of_identities = list(identities.select_related("feature"))
    if of_segments:
        remove_all(FeatureSegment.objects.filter(pk__in=of_segments))
    if of_identities:
        effect = triggers.of_state(of_identities[0])
        versions.announce(effect.environments, silent=effect.silent)
        report(AboutToChangeStates(StateKey.of(state) for state in of_identities))
        report(IdentityOverridesDeleted(environment, [state.feature for state in of_identities]))
        remove_states(identities)
    return len(of_segments) + len(of_identities)


def _key(option: MultivariateFeatureOption) -> OptionKey:
    return option.type, option.value
