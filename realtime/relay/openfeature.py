"""OpenFeature's remote evaluation protocol from memory: the requests of ``realtime.ofrep`` (docs/ofrep.md)."""

from dataclasses import dataclass
from functools import lru_cache, partial

from realtime import ofrep
from realtime.answers import Answer, http_head
from realtime.delivery.spread import refetch_rate
from realtime.ofrep import EvaluationRequest, State
from realtime.relay import relay_metrics, responding
from realtime.relay.document import HeldDocument
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluator, TookTooLong
from realtime.relay.responding import Response, Result


@dataclass(slots=True, eq=False)
class OFREPEvaluation:
    """An evaluation of all flags or of one."""

    held: HeldDocument
    request: EvaluationRequest
    state: State

    def run(self) -> Answer:
        return ofrep.answer(self.request, self.state, self.held.evaluations)


class OpenFeature:
    """The evaluation endpoints of one process."""

    def __init__(self, environments: Environments, evaluator: Evaluator) -> None:
        self._environments = environments
        self._evaluator = evaluator

    def respond(self, request: EvaluationRequest, cors: bytes) -> Result:
        found = self._environments.by_key.get(request.key)
        if found is None:
            return _reject(ofrep.unauthorized(), cors)
        environment, server_side = found
        held = environment.held
        if held is None:
            # The protocol has no 503.
            retry = ("Retry-After", responding.UNAVAILABLE_SECONDS.decode())
            return _reject(ofrep.rejection(500, responding.NO_DOCUMENT, (retry,)), cors)
        if not held.is_served:
            return _reject(ofrep.rejection(403, "The organisation is disabled from serving flags."), cors)
        relay_metrics.reads["identities"].add()
        refetch_rate.add()
        state = held.ofrep_state(server_side)
        if (unchanged := ofrep.unchanged(request, state)) is not None:
            return _response(unchanged, cors)
        evaluation = OFREPEvaluation(held, request, state)
        return self._evaluator.evaluate(evaluation, partial(_evaluated, request.flag, cors))


def _evaluated(flag: str | None, cors: bytes, answer: Answer | TookTooLong) -> Response:
    if isinstance(answer, TookTooLong):
        answer = ofrep.failure(400, flag, "GENERAL", responding.TOOK_TOO_LONG)
    return _response(answer, cors)


def _reject(answer: Answer, cors: bytes) -> Response:
    relay_metrics.rejected.add()
    return _response(answer, cors)


def _response(answer: Answer, cors: bytes) -> Response:
    return Response(_head(answer.status, bool(answer.body), cors) + answer.own_lines(), answer.body)


@lru_cache(maxsize=256)
def _head(status: int, has_body: bool, cors: bytes) -> bytes:
    """The status line and the headers that do not depend on the answer."""
    return http_head(status, [responding.JSON, responding.NOSNIFF] if has_body else [responding.NOSNIFF]) + cors
