"""Where a feature state stands, in the words of the log."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from audit import texts
from audit.entries import Detail, Entry, Scope
from audit.models import ChangeType, RelatedObjectType
from core import actor
from features.models import FeatureState


@dataclass(frozen=True)
class Place:
    """A state's place by names. Without an identity and a segment, the state is the environment's default."""

    state_id: int
    is_live: bool
    scope: Scope
    feature_id: int
    feature: str
    identity_id: int | None
    identity: str | None
    segment_id: int | None
    segment: str | None
    first_value: str | None
    """What the value of a new state begins with, as text."""
    is_older_than_environment: bool
    """Whether the environment came after the feature."""

    @property
    def is_override(self) -> bool:
        return self.identity_id is not None or self.segment_id is not None

    def say(self, worded: texts.Worded) -> str:
        of_default, of_segment, of_identity = worded
        if self.identity is not None:
            return of_identity % (self.feature, self.identity)
        if self.segment is not None:
            return of_segment % (self.feature, self.segment)
        return of_default % self.feature

    def entry(self, log: str, change: ChangeType, details: Collection[Detail] = ()) -> Entry:
        return Entry(log, RelatedObjectType.FEATURE_STATE, self.state_id, self.scope, change, [*details])


def read(state_ids: Iterable[int]) -> dict[int, Place]:
    """The places of these states, with one query."""
    rows = FeatureState.objects.filter(pk__in=state_ids).values_list(
        "pk",
        "version",
        "environment__project__organisation_id",
        "environment__project_id",
        "environment_id",
        "feature_id",
        "feature__name",
        "identity_id",
        "identity__identifier",
        "feature_segment__segment_id",
        "feature_segment__segment__name",
        "feature__initial_value",
        "environment__project__prevent_flag_defaults",
        "feature__created_date",
        "environment__created_date",
    )
    return {row[0]: _place(*row) for row in rows}


def of(state_id: int) -> Place:
    """The place of one state. Read once for each actor: a state stays where it is, and only drafts become live."""
    who = actor.current()
    known = {} if who is None else who.places
    if state_id not in known or not known[state_id].is_live:
        known[state_id] = read([state_id])[state_id]
    place: Place = known[state_id]
    return place


def _place(
    state_id: int,
    version: int | None,
    organisation_id: int,
    project_id: int,
    environment_id: int,
    feature_id: int,
    feature: str,
    identity_id: int | None,
    identity: str | None,
    segment_id: int | None,
    segment: str | None,
    initial_value: str | None,
    prevent_flag_defaults: bool,
    feature_created: datetime,
    environment_created: datetime,
) -> Place:
    return Place(
        state_id=state_id,
        is_live=version is not None,
        scope=Scope(organisation_id, project_id, environment_id),
        feature_id=feature_id,
        feature=feature,
        identity_id=identity_id,
        identity=identity,
        segment_id=segment_id,
        segment=segment,
        first_value=None if prevent_flag_defaults else initial_value,
        is_older_than_environment=feature_created < environment_created,
    )
