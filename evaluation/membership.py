"""Which segments an identity belongs to, whether or not they override anything, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import structlog
from flag_engine.segments.evaluator import context_matches_condition, context_matches_rule, is_context_in_segment

from environments.identities.models import Identity
from environments.identities.traits.models import TraitValue
from evaluation import engine, isolation
from evaluation.cache import Entry
from evaluation.child import limited_evaluation
from evaluation.document import hashing_key, read_head
from evaluation.isolation import Work
from segments.models import Segment

logger = structlog.get_logger(__name__)

T = TypeVar("T")


class Candidate(NamedTuple):
    """Somebody who may belong to a segment: an identity, stored or not, with the traits that they are judged by."""

    identifier: str
    """Empty: nobody in particular. Such a one has no place in a percentage split."""

    traits: Mapping[str, TraitValue]
    identity_id: int | None = None

    @classmethod
    def of(cls, identity: Identity) -> "Candidate":
        """As it is stored."""
        traits = {trait.trait_key: trait.trait_value for trait in identity.identity_traits.all()}
        return cls(identity.identifier, traits, identity.pk)


@dataclass(frozen=True)
class ConditionVerdict:
    operator: str
    property: str | None
    value: str | None
    holds: bool


@dataclass(frozen=True)
class RuleVerdict:
    type: str
    holds: bool
    conditions: list[ConditionVerdict]
    rules: list["RuleVerdict"]


@dataclass(frozen=True)
class Verdict:
    """Whether somebody belongs to a segment; of each of its rules and conditions, whether it holds for them."""

    belongs: bool
    rules: list[RuleVerdict]


def segments_of(identity: Identity) -> list[int]:
    """The primary keys of the project's segments that the identity belongs to, by its stored traits."""
    return _run(identity.environment_id, partial(_segments_of, candidate=Candidate.of(identity)))


def verdict(environment_id: int, segment_id: int, candidate: Candidate) -> Verdict:
    """Whether the candidate belongs to the segment, as the environment has it. Nothing is stored.

    Raises ObjectDoesNotExist for an environment that is gone, or a segment that its project does not have.
    """
    return _run(environment_id, partial(_verdict, segment_id=segment_id, candidate=candidate))


def _run(environment_id: int, work: Work[T]) -> T:
    head = read_head(environment_id)
    return isolation.run(head.version, head.row["project__organisation_id"], work).value


def _segments_of(entry: Entry, candidate: Candidate) -> list[int]:
    content = entry.document.content
    context = _context(content, candidate)
    with limited_evaluation():
        return [segment["id"] for segment in content["project"]["segments"] if _contains(segment, context)]


def _verdict(entry: Entry, segment_id: int, candidate: Candidate) -> Verdict:
    content = entry.document.content
    context = _context(content, candidate)
    segment = next((each for each in content["project"]["segments"] if each["id"] == segment_id), None)
    if segment is None:
        raise Segment.DoesNotExist
    with limited_evaluation():
        stated = zip(segment["rules"], engine.segment_context(segment, [])["rules"], strict=True)
        rules = [_rule(rule, read, context, str(segment_id)) for rule, read in stated]
        return Verdict(_contains(segment, context), rules)


def _context(content: engine.Json, candidate: Candidate) -> Any:
    nobody = not candidate.identifier and candidate.identity_id is None
    key = None if nobody else hashing_key(content, candidate.identifier, candidate.identity_id)
    return {
        "environment": {"key": content["api_key"], "name": content["name"]},
        "identity": {"identifier": candidate.identifier, "key": key, "traits": dict(candidate.traits)},
    }


def _contains(segment: engine.Json, context: Any) -> bool:
    try:
        return is_context_in_segment(context, engine.segment_context(segment, []))
    except Exception as error:
        # As for its flags: a segment that cannot be evaluated for a trait of this identity does not have it.
        logger.warning("segment_not_evaluated", segment=segment["id"], error=repr(error))
        return False


def _rule(rule: engine.Json, read: Any, context: Any, segment_key: str) -> RuleVerdict:
    """Of a rule of the document, and of what the engine reads of it."""
    conditions = [
        ConditionVerdict(
            each["operator"],
            each["property_"],
            each["value"],
            _holds(context_matches_condition, context, condition, segment_key),
        )
        for each, condition in zip(rule["conditions"], read["conditions"], strict=False)
    ]
    rules = [
        _rule(each, nested, context, segment_key)
        for each, nested in zip(rule["rules"], read.get("rules", ()), strict=False)
    ]
    return RuleVerdict(rule["type"], _holds(context_matches_rule, context, read, segment_key), conditions, rules)


def _holds(matches: Any, context: Any, what: Any, segment_key: str) -> bool:
    try:
        return bool(matches(context, what, segment_key))
    except Exception:
        return False
