"""Which segments an identity belongs to, whether or not they override anything, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import structlog
from flag_engine.segments.evaluator import context_matches_condition, context_matches_rule, is_context_in_segment

from environments import engine, patterns
from environments.cache import documents
from environments.document import hashing_key, read_head
from environments.identities.models import Identity
from environments.identities.traits.models import TraitValue
from segments.models import Segment

logger = structlog.get_logger(__name__)


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
    content = _content(identity.environment_id)
    context = _context(content, Candidate.of(identity))
    with patterns.limited():
        return [segment["id"] for segment in content["project"]["segments"] if _contains(segment, context)]


def verdict(environment_id: int, segment_id: int, candidate: Candidate) -> Verdict:
    """Whether the candidate belongs to the segment, as the environment has it. Nothing is stored.

    Raises ObjectDoesNotExist for an environment that is gone, or a segment that its project does not have.
    """
    content = _content(environment_id)
    context = _context(content, candidate)
    segment = next((each for each in content["project"]["segments"] if each["id"] == segment_id), None)
    if segment is None:
        raise Segment.DoesNotExist
    with patterns.limited():
        belongs = _contains(segment, context)
    with patterns.limited():
        stated = zip(segment["rules"], engine.segment_context(segment, [])["rules"], strict=True)
        return Verdict(belongs, [_rule(rule, read, context, str(segment_id)) for rule, read in stated])


def _content(environment_id: int) -> engine.Json:
    return documents.entry(read_head(environment_id).version).document.content


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
