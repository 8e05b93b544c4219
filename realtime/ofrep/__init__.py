"""OpenFeature Remote Evaluation Protocol (OFREP 0.3.0): requests, answers and stream events, for environment documents.

It knows no database and no server, so the product and the relay answer with the same bytes: ``answer`` maps a request
and a document to a response. docs/ofrep.md describes the mapping of Flagsmith's flags to the protocol.
"""

from realtime.ofrep.answers import answer, failure, rejection, unauthorized, unchanged
from realtime.ofrep.evaluations import Evaluations
from realtime.ofrep.requests import PREFIX, EvaluationRequest, api_key, flag_of_path, is_evaluation, parse

__all__ = [
    "PREFIX",
    "EvaluationRequest",
    "Evaluations",
    "answer",
    "api_key",
    "failure",
    "flag_of_path",
    "is_evaluation",
    "parse",
    "rejection",
    "unauthorized",
    "unchanged",
]
