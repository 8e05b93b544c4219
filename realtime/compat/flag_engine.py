"""Flag engine (tested: 11.1.1): its decisions about single segments, conditions and features, and its matcher of REGEX.

Public are ``get_evaluation_result``, and the types of contexts and results. Also used:

* ``is_context_in_segment``, ``context_matches_rule`` and ``context_matches_condition``: a decision is cached for all
  identities with the same traits, explained by rule, and tried before a condition is stored;
* ``get_flag_result_from_context``: the value of one feature, for which no whole context is needed;
* ``MATCHERS_BY_OPERATOR``: the engine has no setting for the time that a pattern may take.
"""

from collections.abc import Callable
from typing import Any

from flag_engine.segments import constants
from flag_engine.segments.evaluator import MATCHERS_BY_OPERATOR
from flag_engine.segments.evaluator import context_matches_condition as context_matches_condition
from flag_engine.segments.evaluator import context_matches_rule as context_matches_rule
from flag_engine.segments.evaluator import get_flag_result_from_context as get_flag_result_from_context
from flag_engine.segments.evaluator import is_context_in_segment as is_context_in_segment


def replace_pattern_matcher(matches: Callable[[str | None, Any], bool]) -> None:
    """Let the engine ask this function whether a trait's value begins with a match of a pattern, in the process."""
    MATCHERS_BY_OPERATOR[constants.REGEX] = matches
