"""The demo data: an organisation with a project that uses all kinds of features, and its user."""

from dataclasses import dataclass
from typing import Any, Self

from django.db import transaction
from rest_framework.authtoken.models import Token

from core.locks import lock_project
from demo.password import PasswordFile, new_password
from environments.models import Environment, EnvironmentAPIKey
from environments.services import create_environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureState
from features.services import create_feature
from organisations.models import Organisation
from organisations.services import create_organisation
from projects.models import Project
from projects.services import create_project
from segments.models import Segment
from segments.services import create_segment
from segments.trees import RuleData
from users.models import FFAdminUser
from users.services import register

EMAIL = "demo@example.com"
ORGANISATION = "Demo"
PROJECT = "Demo"
ENVIRONMENTS = ("Development", "Production")

# Feature fields by name. The text of an initial value determines its type ("25" is an integer, "true" a boolean).
FEATURES: dict[str, dict[str, Any]] = {
    "new_checkout": {"description": "The checkout on one page."},
    "dark_mode": {"default_enabled": True, "description": "Offer the dark theme."},
    "beta_search": {"description": "The new search; on for beta testers by a segment override."},
    "verbose_logging": {"initial_value": "true", "description": "A boolean value."},
    "welcome_text": {"default_enabled": True, "initial_value": "Welcome!", "description": "A text value."},
    "maintenance_notice": {"initial_value": "Back at 18:00 UTC", "description": "Turn on to show it to everybody."},
    "max_upload_mb": {"default_enabled": True, "initial_value": "25", "description": "A number."},
    "items_per_page": {"default_enabled": True, "initial_value": "20", "description": "A number."},
    "onboarding": {"default_enabled": True, "initial_value": '{"steps": ["profile", "team"]}', "description": "JSON."},
    "button_colour": {
        "default_enabled": True,
        "initial_value": "blue",
        "description": "An experiment: half see blue, the others green or orange.",
        "options": [
            {"string_value": "green", "default_percentage_allocation": 30.0},
            {"string_value": "orange", "default_percentage_allocation": 20.0},
        ],
    },
}

SEGMENT = "Beta testers"
RULES: list[RuleData] = [
    {
        "type": "ALL",
        "rules": [{"type": "ANY", "conditions": [{"operator": "EQUAL", "property": "beta", "value": "true"}]}],
    }
]
OVERRIDDEN_FEATURE = "beta_search"


@dataclass(frozen=True)
class Demo:
    """The demo data in this database."""

    user: FFAdminUser
    token: str
    project: Project
    environments: list[Environment]
    features: list[Feature]
    segment: Segment

    @classmethod
    @transaction.atomic
    def seed(cls, user: FFAdminUser) -> Self:
        """Create the missing parts of the demo data. Existing ones are not changed."""
        organisation = Organisation.objects.filter(name=ORGANISATION, users=user).first()
        organisation = organisation or create_organisation(user, name=ORGANISATION)
        project = organisation.projects.filter(name=PROJECT).first()
        project = project or create_project(user, name=PROJECT, organisation=organisation, enable_realtime_updates=True)
        lock_project(project.pk)
        environments = [_environment(user, project, name) for name in ENVIRONMENTS]
        features = {name: _feature(user, project, name) for name in FEATURES}
        return cls(
            user=user,
            token=Token.objects.get_or_create(user=user)[0].key,
            project=project,
            environments=environments,
            features=list(features.values()),
            segment=_segment(project, environments, features[OVERRIDDEN_FEATURE]),
        )

    def as_json(self, password: str) -> dict[str, Any]:
        """IDs, keys and credentials, for scripts."""
        return {
            "email": self.user.email,
            "password": password,
            "token": self.token,
            "organisation_id": self.project.organisation_id,
            "project_id": self.project.pk,
            "environments": [
                {
                    "id": environment.pk,
                    "name": environment.name,
                    "api_key": environment.api_key,
                    "server_key": environment.api_keys.all()[0].key,
                }
                for environment in self.environments
            ],
            "features": [{"id": feature.pk, "name": feature.name} for feature in self.features],
            "segment_id": self.segment.pk,
        }

    def as_variables(self) -> dict[str, str]:
        """The shell variables in the README's commands, for the first environment and the first feature."""
        environment, feature = self.environments[0], self.features[0]
        state = FeatureState.objects.get(environment=environment, feature=feature, identity=None, feature_segment=None)
        return {
            "ENVIRONMENT_KEY": environment.api_key,
            "SERVER_KEY": environment.api_keys.all()[0].key,
            "TOKEN": self.token,
            "FEATURE_STATE": str(state.pk),
        }


def find_project() -> Project | None:
    """The demo's project; None without demo data."""
    return Project.objects.filter(name=PROJECT, organisation__users__email=EMAIL).first()


def user_with_password(file: PasswordFile) -> tuple[FFAdminUser, str, bool]:
    """The demo's user, the password, and whether the password is new.

    The password is read from the file. If it is missing or not valid any more, a new one is set and written to the
    file.
    """
    password = file.read()
    user = FFAdminUser.objects.filter(email=EMAIL).first()
    if user and password and user.check_password(password):
        return user, password, False
    password = new_password()
    file.write(password)
    if user is None:
        return register(email=EMAIL, password=password, first_name="Demo", last_name="User"), password, True
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password, True


def _environment(user: FFAdminUser, project: Project, name: str) -> Environment:
    environment = project.environments.filter(name=name).first()
    environment = environment or create_environment(user, name=name, project=project)
    if not environment.api_keys.exists():
        EnvironmentAPIKey.objects.create(environment=environment, name="Demo")
    return environment


def _feature(user: FFAdminUser, project: Project, name: str) -> Feature:
    feature = project.features.filter(name__iexact=name).first()
    return feature or create_feature(project, creator=user, name=name, **FEATURES[name])


def _segment(project: Project, environments: list[Environment], overridden: Feature) -> Segment:
    segment = project.segments.filter(name=SEGMENT).first()
    if segment is None:
        segment = create_segment(project, name=SEGMENT, rules=RULES)
        for environment in environments:
            create_override(environment, overridden, segment, enabled=True)
    return segment
