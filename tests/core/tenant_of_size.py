"""A tenant with a given amount of everything, written in bulk."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, EnvironmentAPIKey
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.workflows.core.models import ChangeRequest
from organisations.models import Organisation, OrganisationRole, Subscription, UserOrganisation
from projects.models import Project
from projects.tags.models import Tag
from segments.models import Condition, Segment, SegmentRule
from users.models import FFAdminUser


@dataclass
class TenantOfSize:
    """A project with ``size`` environments, features, segments, identities, and so on, each with ``size`` of its own.

    Every segment and every identity overrides every feature in every environment. The features are multivariate, with
    as many options; the segments have as many rules, conditions and traits to match.
    """

    admin: FFAdminUser
    size: int

    def __post_init__(self) -> None:
        self.organisation = Organisation.objects.create(name=f"o{self.size}")
        Subscription.objects.create(organisation=self.organisation)
        UserOrganisation.objects.create(user=self.admin, organisation=self.organisation, role=OrganisationRole.ADMIN)
        self.project = Project.objects.create(name="p", organisation=self.organisation, enable_realtime_updates=True)
        self.members = [self._member(number) for number in range(self.size)]
        self.other_member = self._member(self.size)
        for member in self.members:
            self.project.userpermission.create(user=member).permissions.add("VIEW_PROJECT")
        self.environments = Environment.objects.bulk_create(
            Environment(name=f"e{number}", project=self.project) for number in range(self.size)
        )
        EnvironmentAPIKey.objects.bulk_create(
            EnvironmentAPIKey(environment=each, name="k") for each in self.environments
        )
        self.segments = [self._segment(number) for number in range(self.size)]
        self.features = Feature.objects.bulk_create(
            Feature(name=f"f{number}", project=self.project, type="MULTIVARIATE") for number in range(self.size)
        )
        self.tags = Tag.objects.bulk_create(
            Tag(label=f"t{number}", project=self.project) for number in range(self.size)
        )
        for feature in self.features:
            feature.tags.set(self.tags)
            feature.owners.set([self.admin, *self.members])
        self.options = MultivariateFeatureOption.objects.bulk_create(
            MultivariateFeatureOption(feature=feature, string_value="o", default_percentage_allocation=1)
            for feature, _ in product(self.features, range(self.size))
        )
        self.identities = Identity.objects.bulk_create(
            Identity(identifier=f"i{number}", environment=environment)
            for environment, number in product(self.environments, range(self.size))
        )
        Trait.objects.bulk_create(
            Trait(identity=identity, trait_key=f"t{number}", string_value="v")
            for identity, number in product(self.identities, range(self.size))
        )
        self._write_states()
        ChangeRequest.objects.bulk_create(
            ChangeRequest(environment=environment, project=self.project, title="t")
            for environment in (*self.environments, None)
        )

    @cached_property
    def environment(self) -> Environment:
        return self.environments[0]

    def state(self) -> FeatureState:
        """The first environment's default of the first feature."""
        return FeatureState.objects.get(
            feature=self.features[0],
            environment=self.environment,
            identity=None,
            feature_segment=None,
            version__isnull=False,
        )

    def shares(self, number: int, percentage: float) -> list[dict[str, Any]]:
        """The same percentage for each option of a feature, for requests."""
        options = [option for option in self.options if option.feature_id == self.features[number].pk]
        return [{"multivariate_feature_option": each.pk, "percentage_allocation": percentage} for each in options]

    def rules(self, value: str) -> list[dict[str, Any]]:
        """``size`` rules with ``size`` conditions each, for requests."""
        conditions = [{"operator": "EQUAL", "property": f"t{number}", "value": value} for number in range(self.size)]
        nested = [{"type": "ANY", "conditions": conditions}]
        return [{"type": "ALL", "conditions": [], "rules": nested} for _ in range(self.size)]

    def _member(self, number: int) -> FFAdminUser:
        member = FFAdminUser.objects.create_user(f"{self.size}-{number}@example.com", first_name="M", last_name="M")
        UserOrganisation.objects.create(user=member, organisation=self.organisation, role=OrganisationRole.USER)
        return member

    def _segment(self, number: int) -> Segment:
        segment = Segment.objects.create(name=f"s{number}", project=self.project)
        rules = SegmentRule.objects.bulk_create(SegmentRule(segment=segment, type="ALL") for _ in range(self.size))
        nested = SegmentRule.objects.bulk_create(SegmentRule(rule=rule, type="ANY") for rule in rules)
        Condition.objects.bulk_create(
            Condition(rule=rule, operator="EQUAL", property=f"t{each}", value="v")
            for rule, each in product(nested, range(self.size))
        )
        return segment

    def _write_states(self) -> None:
        """Write the default states with shares, and all overrides."""
        self.feature_segments = FeatureSegment.objects.bulk_create(
            FeatureSegment(feature=feature, environment=environment, segment=segment, priority=priority)
            for environment, feature, (priority, segment) in product(
                self.environments, self.features, enumerate(self.segments)
            )
        )
        defaults = [
            FeatureState(feature=feature, environment=environment)
            for environment, feature in product(self.environments, self.features)
        ]
        overrides = [
            FeatureState(
                feature=feature_segment.feature,
                environment=feature_segment.environment,
                feature_segment=feature_segment,
                enabled=True,
            )
            for feature_segment in self.feature_segments
        ]
        of_identities = [
            FeatureState(feature=feature, environment=identity.environment, identity=identity, enabled=True)
            for identity, feature in product(self.identities, self.features)
        ]
        states = FeatureState.objects.bulk_create([*defaults, *overrides, *of_identities])
        FeatureStateValue.objects.bulk_create(FeatureStateValue(feature_state=state) for state in states)
        MultivariateFeatureStateValue.objects.bulk_create(
            MultivariateFeatureStateValue(
                feature_state=state, multivariate_feature_option=option, percentage_allocation=1
            )
            for state, option in product(states, self.options)
            if option.feature_id == state.feature_id
        )
