"""The context of a feature state in log entries: names of its feature, segment and identity, and its scope."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from audit import texts
from audit.entries import Detail, Entry, Scope
from audit.models import ChangeType, RelatedObjectType
from core import actor
from features.models import FeatureState


@dataclass(frozen=True)
class StateContext:
    """The context of a feature state. Without an identity and a segment, it is the environment's default."""

    state_id: int
    is_live: bool
    scope: Scope
    feature_id: int
    feature: str
    identity_id: int | None
    identity: str | None
    segment_id: int | None
    segment: str | None
    initial_value: str | None
    """The initial value of the feature's new states, as text."""
    is_feature_older: bool
    """True if the feature is older than the environment."""

    @property
    def is_override(self) -> bool:
        return self.identity_id is not None or self.segment_id is not None

    def text(self, templates: texts.StateTexts) -> str:
        for_default, for_segment, for_identity = templates
        if self.identity is not None:
            return for_identity % (self.feature, self.identity)
        if self.segment is not None:
            return for_segment % (self.feature, self.segment)
        return for_default % self.feature

    def entry(self, log: str, change: ChangeType, details: Collection[Detail] = ()) -> Entry:
        return Entry(
            log,
            RelatedObjectType.FEATURE_STATE,
            self.state_id,
            self.scope,
            change,
            [*details],
            feature_id=self.feature_id,
            segment_id=self.segment_id,
            identity_id=self.identity_id,
        )


def read(state_ids: Iterable[int]) -> dict[int, StateContext]:
    """The contexts of these states, read with one query."""
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
    return {row[0]: _context(*row) for row in rows}


def get(state_id: int) -> StateContext:
    """The context of one state. It is cached in the current actor, unless the state is a draft, which may go live."""
    current = actor.current()
    cached = {} if current is None else current.state_contexts
    if state_id not in cached or not cached[state_id].is_live:
        cached[state_id] = read([state_id])[state_id]
    context: StateContext = cached[state_id]
    return context


def _context(
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
) -> StateContext:
    return StateContext(
        state_id=state_id,
        is_live=version is not None,
        scope=Scope(organisation_id, project_id, environment_id),
        feature_id=feature_id,
        feature=feature,
        identity_id=identity_id,
        identity=identity,
        segment_id=segment_id,
        segment=segment,
        initial_value=None if prevent_flag_defaults else initial_value,
        is_feature_older=feature_created < environment_created,
    )
