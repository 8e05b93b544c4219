"""What making and cloning an environment takes beyond one save."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from core.locks import keep_out_identities
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, UserEnvironmentPermission
from features.defaults import create_default_states
from features.feature_states.services import remove_states
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.workflows.core.models import ChangeRequest, ChangeRequestApproval, PlannedChange
from organisations.access import Actor
from users.models import FFAdminUser

# What a clone has like its source.
SETTINGS = (
    "description",
    "project",
    "minimum_change_request_approvals",
    "allow_client_traits",
    "banner_text",
    "banner_colour",
    "hide_disabled_flags",
    "use_identity_composite_key_for_hashing",
    "hide_sensitive_data",
    "use_identity_overrides_in_local_eval",
)
VALUE = ("type", "boolean_value", "integer_value", "string_value")
SHARE = ("multivariate_feature_option_id", "percentage_allocation")

Overrides = dict[int | None, FeatureSegment | None]
"""The copies of overrides by the primary keys of the originals; no override has none."""


def create_environment(actor: Actor, **fields: Any) -> Environment:
    """An environment with a state for each of the project's features. Its own row announces it, and nothing else."""
    with transaction.atomic():
        environment = _create(actor, **fields)
        create_default_states(Feature.objects.filter(project=environment.project_id), [environment])
    return environment


def clone_environment(actor: Actor, source: Environment, name: str) -> Environment:
    """A new environment with the source's settings, defaults and segment overrides, but not its identities.

    Some fifteen queries, however much there is to copy. (SQLite splits large inserts.)
    """
    with transaction.atomic():
        clone = _create(actor, name=name, **_fields(source, SETTINGS))
        _copy_states(source, clone, _copy_overrides(source, clone))
    return clone


def delete_environment(environment: Environment) -> None:
    """Remove an environment with everything in it, for which nobody has to be told: its streams end."""
    with transaction.atomic():
        keep_out_identities([environment.pk])
        empty(Environment.objects.filter(pk=environment.pk))
        environment.delete()


def empty(environments: QuerySet[Environment]) -> None:
    """Remove what there may be any number of in environments that are about to go.

    Raw, since a delete that sends signals would read each row and remove a hundred at a time, only to find that nobody
    has to hear of it.
    """
    within = environments.order_by().values("pk")
    requests = ChangeRequest.objects.filter(environment__in=within)
    remove_states(FeatureState.objects.filter(environment__in=within))
    for rows in (
        FeatureSegment.objects.filter(environment__in=within),
        Trait.objects.filter(identity__environment__in=within),
        Identity.objects.filter(environment__in=within),
        PlannedChange.objects.filter(change_request__in=requests.order_by().values("pk")),
        ChangeRequestApproval.objects.filter(change_request__in=requests.order_by().values("pk")),
        requests,
    ):
        rows._raw_delete(rows.db)


def delete_traits(environment: Environment, key: str) -> None:
    """Make all identities of the environment forget this trait."""
    with transaction.atomic():
        keep_out_identities([environment.pk])
        Trait.objects.filter(identity__environment=environment, trait_key=key).delete()


def _create(actor: Actor, **fields: Any) -> Environment:
    environment = Environment.objects.create(**fields)
    if isinstance(actor, FFAdminUser):
        UserEnvironmentPermission.objects.create(user=actor, environment=environment, admin=True)
    return environment


def _copy_overrides(source: Environment, clone: Environment) -> Overrides:
    """Copy which segments override what, in which order."""
    originals = list(
        FeatureSegment.objects.filter(
            environment=source, feature_states__identity=None, feature_states__version__isnull=False
        )
    )
    copies = FeatureSegment.objects.bulk_create(
        FeatureSegment(environment=clone, **_fields(original, ("feature_id", "segment_id", "priority")))
        for original in originals
    )
    return {None: None} | {original.pk: copy for original, copy in zip(originals, copies, strict=True)}


def _copy_states(source: Environment, clone: Environment, overrides: Overrides) -> None:
    """Copy the live states with their values and shares, and keep the shares' order: variants are dealt out in it."""
    originals = FeatureState.objects.filter(environment=source, identity=None, version__isnull=False).order_by("pk")
    copies = FeatureState.objects.bulk_create(
        FeatureState(
            environment=clone,
            feature_segment=overrides[original.feature_segment_id],
            **_fields(original, ("feature_id", "enabled", "version")),
        )
        for original in originals
    )
    copy_of = {original.pk: copy for original, copy in zip(originals, copies, strict=True)}
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=copy_of[value.feature_state_id], **_fields(value, VALUE))
        for value in FeatureStateValue.objects.filter(feature_state__in=originals.order_by().values("pk"))
    )
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(feature_state=copy_of[share.feature_state_id], **_fields(share, SHARE))
        for share in MultivariateFeatureStateValue.objects.filter(
            feature_state__in=originals.order_by().values("pk")
        ).order_by("pk")
    )


def _fields(row: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
