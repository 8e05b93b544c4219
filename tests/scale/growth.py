"""Enlarges a project in bulk."""

from dataclasses import dataclass
from itertools import count
from uuid import uuid4

from django.db import transaction

from audit.models import AuditLog, ChangeType, RelatedObjectType
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption
from features.workflows.core.models import ChangeRequest
from organisations.models import OrganisationRole, UserOrganisation
from projects.models import Project, UserProjectPermission
from projects.tags.models import Tag
from realtime.changes import versions
from segments.models import Condition, Segment, SegmentRule
from users.models import FFAdminUser

NUMBERS = count()


@dataclass(frozen=True)
class Growth:
    """The number of added objects. Overrides, identities and change requests belong to one environment."""

    features: int
    environments: int
    segments: int
    identities: int
    entries: int
    """Entries of the audit log."""

    others: int
    """Objects of each other kind: tags, members, change requests, permissions."""


SMALL = Growth(features=12, environments=4, segments=8, identities=9, entries=10, others=6)
LARGE = Growth(features=1_000, environments=49, segments=200, identities=500, entries=2_000, others=50)


def grow(environment: Environment, by: Growth) -> None:
    """Add objects to the environment and its project.

    A tenth of the features has two options, tags and owners. Each segment overrides a feature, and each identity has a
    trait and an override.
    """
    project = environment.project
    with transaction.atomic():
        versions.announce(project.environments.values_list("pk", flat=True))
        made = [Environment(name=f"environment-{next(NUMBERS)}", project=project) for _ in range(by.environments)]
        Environment.objects.bulk_create(made)
        features = _features(project, by)
        existing = list(project.features.exclude(pk__in=[feature.pk for feature in features]))
        create_default_states(features, project.environments.all())
        create_default_states(existing, made)
        _overrides(environment, _segments(project, by.segments), features)
        _identities(environment, by.identities, features)
        _entries(environment, by.entries)
        _others(environment, by.others)


def _features(project: Project, by: Growth) -> list[Feature]:
    numbers = [next(NUMBERS) for _ in range(by.features)]
    features = [
        Feature(name=f"feature-{number}", project=project, initial_value=f"value-{number}", description="d" * 40)
        for number in numbers
    ]
    Feature.objects.bulk_create(features)
    MultivariateFeatureOption.objects.bulk_create(
        [
            MultivariateFeatureOption(feature=feature, string_value=text, default_percentage_allocation=30)
            for feature in features[::10]
            for text in ("a", "b")
        ]
    )
    tags = [Tag(label=f"tag-{next(NUMBERS)}", project=project) for _ in range(by.others)]
    Tag.objects.bulk_create(tags)
    owner = project.organisation.users.order_by("pk").first()
    Feature.tags.through.objects.bulk_create(
        [Feature.tags.through(feature=feature, tag=tags[index % len(tags)]) for index, feature in enumerate(features)]
    )
    Feature.owners.through.objects.bulk_create(
        [Feature.owners.through(feature=feature, ffadminuser=owner) for feature in features]
    )
    return features


def _segments(project: Project, number: int) -> list[Segment]:
    segments = [Segment(name=f"segment-{next(NUMBERS)}", project=project) for _ in range(number)]
    Segment.objects.bulk_create(segments)
    outer = [SegmentRule(segment=segment, type=SegmentRule.Type.ALL) for segment in segments]
    SegmentRule.objects.bulk_create(outer)
    inner = [SegmentRule(rule=rule, type=SegmentRule.Type.ANY) for rule in outer]
    SegmentRule.objects.bulk_create(inner)
    Condition.objects.bulk_create(
        [
            Condition(rule=rule, operator=Condition.Operator.EQUAL, property=f"trait-{index}", value=text)
            for index, rule in enumerate(inner)
            for text in ("a", "b")
        ]
    )
    return segments


def _overrides(environment: Environment, segments: list[Segment], features: list[Feature]) -> None:
    pairs = [(features[index % len(features)], segment) for index, segment in enumerate(segments)]
    places = [FeatureSegment(feature=feature, segment=segment, environment=environment) for feature, segment in pairs]
    FeatureSegment.objects.bulk_create(places)
    _with_values(
        [
            FeatureState(feature=place.feature, environment=environment, feature_segment=place, enabled=True)
            for place in places
        ]
    )


def _identities(environment: Environment, number: int, features: list[Feature]) -> None:
    identities = [Identity(identifier=f"identity-{next(NUMBERS)}", environment=environment) for _ in range(number)]
    Identity.objects.bulk_create(identities)
    Trait.objects.bulk_create(
        [Trait(identity=identity, trait_key="plan", string_value="pro") for identity in identities]
    )
    _with_values(
        [
            FeatureState(feature=features[index % len(features)], environment=environment, identity=identity)
            for index, identity in enumerate(identities)
        ]
    )


def _with_values(states: list[FeatureState]) -> None:
    FeatureState.objects.bulk_create(states)
    FeatureStateValue.objects.bulk_create(
        [FeatureStateValue(feature_state=state, string_value="v") for state in states]
    )


def _entries(environment: Environment, number: int) -> None:
    project = environment.project
    author = project.organisation.users.order_by("pk").first()
    AuditLog.objects.bulk_create(
        [
            AuditLog(
                organisation=project.organisation,
                project=project,
                environment=environment,
                author=author,
                log="Flag state updated",
                related_object_id=1,
                related_object_type=RelatedObjectType.FEATURE_STATE,
                change_type=ChangeType.UPDATE,
                transaction=uuid4(),
            )
            for _ in range(number)
        ]
    )


def _others(environment: Environment, number: int) -> None:
    project = environment.project
    people = [FFAdminUser(email=f"person-{next(NUMBERS)}@example.com", first_name="P") for _ in range(number)]
    FFAdminUser.objects.bulk_create(people)
    UserOrganisation.objects.bulk_create(
        [
            UserOrganisation(user=person, organisation=project.organisation, role=OrganisationRole.USER)
            for person in people
        ]
    )
    UserProjectPermission.objects.bulk_create(
        [UserProjectPermission(user=person, project=project) for person in people]
    )
    ChangeRequest.objects.bulk_create(
        [ChangeRequest(title=f"change {person.pk}", project=project, environment=environment) for person in people]
    )
    ChangeRequest.objects.bulk_create([ChangeRequest(title="segments", project=project) for _ in people])
