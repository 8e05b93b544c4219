"""Python's ``re`` (tested: 3.11.7): its parser, which has no public form.

``_parser.parse`` returns a pattern's parts without expanding its repetitions. A part is a tuple of its operator and its
arguments; those of a repetition are its minimum, its maximum and the repeated pattern.
"""

from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


def expanded_length(pattern: str) -> int:
    """The length of a valid pattern with its fixed repetitions expanded."""
    return _length(_parser.parse(pattern))


def _length(parsed: Any) -> int:
    if isinstance(parsed, tuple) and parsed and parsed[0] in REPEATS:
        minimum, _, repeated = parsed[1]
        return max(1, int(minimum)) * _length(repeated)
    if isinstance(parsed, (tuple, list, _parser.SubPattern)):
        return 1 + sum(_length(part) for part in parsed)
    return 0
