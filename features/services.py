"""Creates, updates and deletes features together with their states, options, tags and owners."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower

from core.changes import report
from features.changes import AboutToDeleteFeature, FeatureCreated, FirstStatesCreated
from features.defaults import create_default_states
from features.feature_states.services import remove_states
from features.models import Feature, FeatureSegment, FeatureState, FeatureType
from features.multivariate.services import create_options, replace_options
from projects.access import viewers
from projects.models import Project
from projects.tags.models import Tag
from users.models import FFAdminUser, UserPermissionGroup

NAME_TAKEN = "Feature with that name already exists for this project. Note that feature names are case insensitive."


def name_is_taken(project: Project, name: str) -> bool:
    """Whether the project has a feature of this name, regardless of case: checks ``unique_feature_name`` in advance."""
    return project.features.annotate(lower=Lower("name")).filter(lower=Lower(Value(name))).exists()


def possible_owners(project: Project) -> QuerySet[FFAdminUser]:
    """Users who may view the project."""
    return viewers(project)


def possible_group_owners(project: Project) -> QuerySet[UserPermissionGroup]:
    """User groups of the project's organisation."""
    return UserPermissionGroup.objects.filter(organisation=project.organisation_id)


def has_other_owners(feature: Feature, *, users: Iterable[int] = (), groups: Iterable[int] = ()) -> bool:
    """Whether the feature has owners besides these users and groups."""
    return feature.owners.exclude(pk__in=users).exists() or feature.group_owners.exclude(pk__in=groups).exists()


def create_feature(
    project: Project,
    *,
    creator: FFAdminUser | None,
    owners: Iterable[FFAdminUser] = (),
    group_owners: Iterable[UserPermissionGroup] = (),
    tags: Iterable[Tag] = (),
    options: Iterable[Mapping[str, Any]] = (),
    **columns: Any,
) -> Feature:
    """Create a feature with its options and its state in each environment of the project.

    Without ``owners`` the creator is the owner. Saving the feature announces the project's environments; all other rows
    are written in bulk. The caller holds the project's lock.
    """
    options, owners = list(options), list(owners) or ([creator] if creator is not None else [])
    if options:
        columns["type"] = FeatureType.MULTIVARIATE
    feature = Feature(project=project, **columns)
    feature.save()
    report(FeatureCreated(feature))
    feature.tags.set(tags)
    feature.owners.set(owners)
    feature.group_owners.set(group_owners)
    create_options(feature, options)
    states = create_default_states([feature], project.environments.all())
    report(FirstStatesCreated(feature, states, len(options)))
    return feature


def update_feature(
    feature: Feature,
    *,
    tags: Iterable[Tag] | None = None,
    options: Iterable[Mapping[str, Any]] | None = None,
    **columns: Any,
) -> Feature:
    """Set columns. Tags and options are replaced unless they are None."""
    for name, content in columns.items():
        setattr(feature, name, content)
    feature.save()
    if tags is not None:
        feature.tags.set(tags)
    if options is not None:
        replace_options(feature, options)
    return feature


def delete_feature(feature: Feature) -> None:
    """Delete a feature with its states and overrides.

    States and overrides (up to one for each identity) are deleted raw: a delete with signals reads every row, and the
    feature's own signal announces the change anyway.
    """
    report(AboutToDeleteFeature(feature))
    remove_states(FeatureState.objects.filter(feature=feature))
    overrides = FeatureSegment.objects.filter(feature=feature)
    overrides._raw_delete(overrides.db)
    feature.delete()
