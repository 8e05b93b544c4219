"""Receivers of the signals of ``environments``, ``segments`` and ``projects``."""

from typing import Any

from core.removal import emptying
from environments.identities.models import Identity
from environments.models import Environment
from environments.services import cloned, created
from features import removal
from features.copies import copy_states
from features.defaults import create_default_states
from features.models import Feature
from projects.models import Project
from segments.models import Segment


def environment_created(environment: Environment, **kwargs: Any) -> None:
    """Receiver of ``environments.services.created``."""
    create_default_states(Feature.objects.filter(project=environment.project_id), [environment])


def environment_cloned(source: Environment, clone: Environment, **kwargs: Any) -> None:
    """Receiver of ``environments.services.cloned``."""
    copy_states(source, clone)


def connect() -> None:
    created.connect(environment_created, dispatch_uid="features:environment_created")
    cloned.connect(environment_cloned, dispatch_uid="features:environment_cloned")
    emptying.connect(removal.empty_environments, sender=Environment, dispatch_uid="features:environments")
    emptying.connect(removal.empty_identities, sender=Identity, dispatch_uid="features:identities")
    emptying.connect(removal.empty_segments, sender=Segment, dispatch_uid="features:segments")
    emptying.connect(removal.empty_projects, sender=Project, dispatch_uid="features:projects")
