"""Flags of an identity for the Admin API: as an SDK gets them, or with the reason for each value."""

from collections import defaultdict
from functools import partial
from typing import NamedTuple

from environment_documents import isolation
from environment_documents.cache import CompiledDocument
from environment_documents.document import read_environment_row
from environment_documents.membership import evaluated_identity
from environment_documents.worker import evaluation_time_limit
from environments.identities.models import Identity
from realtime.evaluation import Flag
from realtime.evaluation import Identity as EvaluatedIdentity
from realtime.evaluation.document import FeatureState, Segment, hides_disabled_flags


class SegmentOverride(NamedTuple):
    """A segment override of a feature, as one identity is evaluated with it."""

    segment: Segment
    state: FeatureState
    matches: bool
    """The identity is in the segment."""

    is_applied: bool
    """The flag has this override's state."""

    @property
    def priority(self) -> int:
        """A lower number takes precedence."""
        place = self.state.get("feature_segment")
        return (place["priority"] if place else None) or 0


class ExplainedFlag(NamedTuple):
    """A flag of an identity, with what its value was chosen from."""

    flag: Flag
    default: Flag
    """The environment default."""

    segment_overrides: list[SegmentOverride]
    """All segment overrides of the feature, the one with the highest precedence first."""

    is_hidden: bool
    """The flag is off and the environment hides disabled flags, so SDKs do not get it."""

    @property
    def split_weight(self) -> float | None:
        """The percentage of the variant that the identity has. None: the flag's variant does not depend on it."""
        prefix, _, weight = self.flag.reason.partition("; weight=")
        return float(weight) if prefix == "SPLIT" and weight else None


def flags_of(identity: Identity) -> list[Flag]:
    """The identity's flags, as an SDK with a server-side key gets them."""
    environment_row = read_environment_row(identity.environment_id)
    work = partial(_flags_of, identity=evaluated_identity(identity))
    return isolation.run(environment_row.version, environment_row.columns["project__organisation_id"], work).value


def explained_flags(environment_id: int, identity: EvaluatedIdentity) -> list[ExplainedFlag]:
    """The flags of an identity, stored or not, each with what its value was chosen from. Nothing is stored.

    Raises ObjectDoesNotExist if the environment was deleted.
    """
    environment_row = read_environment_row(environment_id)
    work = partial(_explained_flags, identity=identity)
    return isolation.run(environment_row.version, environment_row.columns["project__organisation_id"], work).value


def _flags_of(compiled: CompiledDocument, identity: EvaluatedIdentity) -> list[Flag]:
    with evaluation_time_limit():
        return compiled.environment.identity_flags(identity, server_side=True)


def _explained_flags(compiled: CompiledDocument, identity: EvaluatedIdentity) -> list[ExplainedFlag]:
    evaluator, content = compiled.environment.evaluator, compiled.document.content
    with evaluation_time_limit():
        flags = evaluator.identity_flags(identity)
        matching = {segment["id"] for segment in evaluator.segments(identity)}
    applied = {id(flag.state.document) for flag in flags}
    overrides: defaultdict[int, list[SegmentOverride]] = defaultdict(list)
    for segment in content["project"]["segments"]:
        for state in segment.get("feature_states", ()):
            override = SegmentOverride(segment, state, segment["id"] in matching, id(state) in applied)
            overrides[state["feature"]["id"]].append(override)
    for each in overrides.values():
        each.sort(key=lambda override: override.priority)
    hides_disabled = hides_disabled_flags(content)
    return [
        ExplainedFlag(
            flag,
            evaluator.environment_flags[flag.state.feature["name"]],
            overrides.get(flag.state.feature["id"], []),
            hides_disabled and not flag.state.enabled,
        )
        for flag in flags
    ]
