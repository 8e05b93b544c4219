"""Which segments an identity belongs to, whether or not they override anything."""

from typing import Any

import structlog
from flag_engine.segments.evaluator import is_context_in_segment

from environments import engine, patterns
from environments.cache import documents
from environments.document import hashing_key, read_head
from environments.identities.models import Identity

logger = structlog.get_logger(__name__)


def segments_of(identity: Identity) -> list[int]:
    """The primary keys of the project's segments that the identity belongs to, by its stored traits."""
    content = documents.entry(read_head(identity.environment_id).version).document.content
    context: Any = {
        "environment": {"key": content["api_key"], "name": content["name"]},
        "identity": {
            "identifier": identity.identifier,
            "key": hashing_key(content, identity.identifier, identity.pk),
            "traits": {trait.trait_key: trait.trait_value for trait in identity.identity_traits.all()},
        },
    }
    with patterns.limited():
        return [segment["id"] for segment in content["project"]["segments"] if _contains(segment, context)]


def _contains(segment: engine.Json, context: Any) -> bool:
    try:
        return is_context_in_segment(context, engine.segment_context(segment, []))
    except Exception as error:
        # As for its flags: a segment that cannot be evaluated for a trait of this identity does not have it.
        logger.warning("segment_not_evaluated", segment=segment["id"], error=repr(error))
        return False
