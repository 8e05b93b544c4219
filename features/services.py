"""Features: what their creation and their changes write besides the feature's own row."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Lower

from audit import bulk
from audit.recording import record
from features.defaults import create_default_states
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue, FeatureType
from features.multivariate.models import MultivariateFeatureStateValue
from features.multivariate.services import create_options, replace_options
from organisations.models import OrganisationRole, UserOrganisation
from projects.models import Project, UserProjectPermission
from projects.tags.models import Tag
from users.models import FFAdminUser

NAME_TAKEN = "Feature with that name already exists for this project. Note that feature names are case insensitive."


def name_is_taken(project: Project, name: str) -> bool:
    """Whether the project has a feature of this name, in any case: what the database's constraint would say."""
    return project.features.annotate(lower=Lower("name")).filter(lower=Lower(Value(name))).exists()


def possible_owners(project: Project) -> QuerySet[FFAdminUser]:
    """The users who may see the project."""
    granted = UserProjectPermission.objects.filter(Q(admin=True) | Q(permissions="VIEW_PROJECT"), project=project)
    members = UserOrganisation.objects.filter(
        Q(role=OrganisationRole.ADMIN) | Q(user__in=granted.values("user")), organisation=project.organisation_id
    )
    return FFAdminUser.objects.filter(pk__in=members.values("user"))


def create_feature(
    project: Project,
    *,
    creator: FFAdminUser | None,
    owners: Iterable[FFAdminUser] = (),
    tags: Iterable[Tag] = (),
    options: Iterable[Mapping[str, Any]] = (),
    **columns: Any,
) -> Feature:
    """A new feature, with its options and with a state in each environment of the project.

    Its creator owns it unless others are to. Saving its row announces the project's environments; all else is written
    in bulk. The caller holds the project's lock.
    """
    options, owners = list(options), list(owners) or ([creator] if creator is not None else [])
    if options:
        columns["type"] = FeatureType.MULTIVARIATE
    feature = Feature(project=project, **columns)
    feature.save()
    feature.tags.set(tags)
    feature.owners.set(owners)
    create_options(feature, options)
    states = create_default_states([feature], project.environments.all())
    record(bulk.first_states(feature, states, len(options)))
    return feature


def update_feature(
    feature: Feature,
    *,
    tags: Iterable[Tag] | None = None,
    options: Iterable[Mapping[str, Any]] | None = None,
    **columns: Any,
) -> Feature:
    """Set these columns, and replace the tags and options that are not None."""
    for name, content in columns.items():
        setattr(feature, name, content)
    feature.save()
    if tags is not None:
        feature.tags.set(tags)
    if options is not None:
        replace_options(feature, options)
    return feature


def delete_feature(feature: Feature) -> None:
    """Remove a feature with its states and overrides, of which there may be one for each identity.

    Their rows go first and raw: a delete that sends signals would read them all, only to find that the feature's own
    signal announces for them too.
    """
    record(bulk.feature_deleted(feature))
    states = FeatureState.objects.filter(feature=feature)
    for rows in (
        MultivariateFeatureStateValue.objects.filter(feature_state__in=states),
        FeatureStateValue.objects.filter(feature_state__in=states),
        states,
        FeatureSegment.objects.filter(feature=feature),
    ):
        rows._raw_delete(rows.db)
    feature.delete()
