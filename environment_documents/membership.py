"""Segment membership of an identity, with or without overrides in the environment, and an explanation by rule."""

from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import structlog

from environment_documents import isolation
from environment_documents.cache import CompiledDocument
from environment_documents.document import read_environment_row
from environment_documents.isolation import Work
from environment_documents.worker import evaluation_time_limit
from environments.identities.models import Identity
from realtime.compat.flag_engine import context_matches_condition, context_matches_rule, is_context_in_segment
from realtime.evaluation import EnvironmentDocument, IdentityTrait, engine_context
from realtime.evaluation import Identity as EvaluatedIdentity
from realtime.evaluation.document import Segment as DocumentSegment
from realtime.evaluation.document import hashing_key
from segments.models import Segment

logger = structlog.get_logger(__name__)

T = TypeVar("T")


def evaluated_identity(identity: Identity) -> EvaluatedIdentity:
    """A stored identity with its stored traits."""
    stored = identity.identity_traits.all()
    traits = {trait.trait_key: IdentityTrait(trait.pk, trait.trait_key, trait.trait_value, False) for trait in stored}
    return EvaluatedIdentity(identity.identifier, identity.pk, traits)


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
    """The result of checking an identity against a segment, and against each of its rules and conditions."""

    belongs: bool
    rules: list[RuleVerdict]


def segments_of(identity: Identity) -> list[int]:
    """The primary keys of the project's segments that the identity belongs to, by its stored traits."""
    return _run(identity.environment_id, partial(_segments_of, identity=evaluated_identity(identity)))


def verdict(environment_id: int, segment_id: int, identity: EvaluatedIdentity) -> Verdict:
    """Check the identity, which need not be stored, against the segment in the environment. Nothing is stored.

    Without an identifier, conditions with PERCENTAGE_SPLIT are not met. Raises ObjectDoesNotExist if the environment
    was deleted, or if the segment is not in its project.
    """
    return _run(environment_id, partial(_verdict, segment_id=segment_id, identity=identity))


def _run(environment_id: int, work: Work[T]) -> T:
    environment_row = read_environment_row(environment_id)
    return isolation.run(environment_row.version, environment_row.columns["project__organisation_id"], work).value


def _segments_of(compiled: CompiledDocument, identity: EvaluatedIdentity) -> list[int]:
    with evaluation_time_limit():
        return [segment["id"] for segment in compiled.environment.evaluator.segments(identity)]


def _verdict(compiled: CompiledDocument, segment_id: int, identity: EvaluatedIdentity) -> Verdict:
    content = compiled.document.content
    context = _context(content, identity)
    segment = next((each for each in content["project"]["segments"] if each["id"] == segment_id), None)
    if segment is None:
        raise Segment.DoesNotExist
    with evaluation_time_limit():
        pairs = zip(segment["rules"], engine_context.segment_context(segment, [])["rules"], strict=True)
        rules = [_rule(rule, engine_rule, context, str(segment_id)) for rule, engine_rule in pairs]
        return Verdict(_contains(segment, context), rules)


def _context(content: EnvironmentDocument, identity: EvaluatedIdentity) -> Any:
    is_anonymous = not identity.identifier and identity.id is None
    key = None if is_anonymous else hashing_key(content, identity.identifier, identity.id)
    return {
        "environment": {"key": content["api_key"], "name": content["name"]},
        "identity": {"identifier": identity.identifier, "key": key, "traits": identity.trait_values},
    }


def _contains(segment: DocumentSegment, context: Any) -> bool:
    try:
        return is_context_in_segment(context, engine_context.segment_context(segment, []))
    except Exception as error:
        # As in the evaluation of flags: an identity is not in a segment that raises for its traits.
        logger.warning("segment_not_evaluated", segment=segment["id"], error=repr(error))
        return False


def _rule(rule: Any, engine_rule: Any, context: Any, segment_key: str) -> RuleVerdict:
    """The verdict on a rule of the document. ``engine_rule`` is the same rule in the engine's context."""
    conditions = [
        ConditionVerdict(
            each["operator"],
            each["property_"],
            each["value"],
            _holds(context_matches_condition, context, condition, segment_key),
        )
        for each, condition in zip(rule["conditions"], engine_rule["conditions"], strict=False)
    ]
    rules = [
        _rule(each, nested, context, segment_key)
        for each, nested in zip(rule["rules"], engine_rule.get("rules", ()), strict=False)
    ]
    return RuleVerdict(rule["type"], _holds(context_matches_rule, context, engine_rule, segment_key), conditions, rules)


def _holds(matches: Any, context: Any, rule_or_condition: Any, segment_key: str) -> bool:
    try:
        return bool(matches(context, rule_or_condition, segment_key))
    except Exception:
        return False
