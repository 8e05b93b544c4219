"""Evaluation of environment documents: a document in, the bytes of ``flags/``, ``identities/`` and
``environment-document/`` out.

The flag engine decides each flag. The package has no models, reads no database, and imports nothing else of
``realtime`` but ``compat``, so the product and any other server of documents can use it. Importing it limits the time
of regular expressions in segments, in the whole process (``patterns.py``), and measures garbage collections
(``processor_time.py``).
"""

from realtime.compat.flag_engine import replace_pattern_matcher
from realtime.evaluation import patterns
from realtime.evaluation.document import EnvironmentDocument
from realtime.evaluation.environment import CompiledEnvironment
from realtime.evaluation.evaluator import Flag, FlagState
from realtime.evaluation.identity import Identity, IdentityTrait
from realtime.evaluation.stored_fields import FeatureFields, StateFields, StoredFields

__all__ = [
    "CompiledEnvironment",
    "EnvironmentDocument",
    "FeatureFields",
    "Flag",
    "FlagState",
    "Identity",
    "IdentityTrait",
    "StateFields",
    "StoredFields",
]

replace_pattern_matcher(patterns.matches)
