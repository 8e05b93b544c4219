"""The SDK API and OFREP (docs/ofrep.md) from memory: as shortcuts on a client's connection, and as ASGI.

Both parse a request to the same ``Read`` or call the same ``post``.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import structlog

from realtime import ofrep
from realtime.answers import Answer, ConditionalHeaders, accepts_gzip
from realtime.delivery.spread import refetch_rate
from realtime.evaluation import Identity
from realtime.http.shortcuts import Answerer, Channel, DeferredResponse
from realtime.ofrep import EvaluationRequest
from realtime.relay import identities, relay_metrics, responding, traits, usage
from realtime.relay.document import HeldDocument
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluation, Evaluator
from realtime.relay.responding import InvalidRequest, NoDocument, Origins, Rejected, Response, Result, UnknownKey
from realtime.relay.traits import TraitForwarder, TraitRequest
from realtime.relay.usage import Usage
from realtime.types import Application, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

PREFIXES = ("/api/", ofrep.PREFIX)

FLAGS = "/api/v1/flags"
IDENTITIES = "/api/v1/identities"
DOCUMENT = "/api/v1/environment-document"
ANALYTICS = "/api/v1/analytics/flags"
ANALYTICS_2 = "/api/v2/analytics/flags"
TRAITS = "/api/v1/traits"
BULK_TRAITS = "/api/v1/traits/bulk"

READS = (FLAGS, IDENTITIES, DOCUMENT)
WRITES = {
    IDENTITIES: ("POST",),
    ANALYTICS: ("POST",),
    ANALYTICS_2: ("POST",),
    TRAITS: ("POST",),
    BULK_TRAITS: ("PUT", "POST"),
}

MAX_BODY_BYTES = 2 * 1024 * 1024

Found = tuple[HeldDocument, bool]
"""The document of a key, and whether the key is server-side."""

Read = Callable[[], Result]
"""Responds to a GET. It is called for each request of the same bytes."""

Posted = Answer | Evaluation
"""The answer to a POST or PUT, or how to make it."""


class API:
    """The SDK API of one process."""

    def __init__(
        self,
        environments: Environments,
        origins: Origins,
        evaluator: Evaluator,
        usage_counts: Usage,
        forwarder: TraitForwarder | None,
    ) -> None:
        self._environments = environments
        self._origins = origins
        self._evaluator = evaluator
        self._usage = usage_counts
        self._forwarder = forwarder
        self._has_logged_traits = False
        self._reads: dict[str, Callable[[Scope, bytes], Read]] = {
            FLAGS: self._flags,
            IDENTITIES: self._identity,
            DOCUMENT: self._document,
        }
        self._posts: dict[str, Callable[[Scope, Found, bytes], Posted]] = {
            IDENTITIES: self._post_identity,
            ANALYTICS: self._post_totals,
            ANALYTICS_2: self._post_evaluations,
            TRAITS: self._post_trait,
            BULK_TRAITS: self._post_traits,
        }

    # Requests

    def read(self, scope: Scope) -> Read | None:
        """The handler of a GET; None: the path is none of the API's reads."""
        handler = self._reads.get(_path(scope))
        if handler is None:
            return None
        cors = self._cors(scope)
        try:
            read = handler(scope, cors)
        except InvalidRequest as invalid:
            response = responding.encode(invalid.answer, cors)
            return lambda: response
        return read

    def post(self, scope: Scope, body: bytes) -> Result | None:
        """The response to a POST or PUT; None: the path is none of the API's writes."""
        cors = self._cors(scope)
        try:
            posted = self._posted(scope, body)
        except Rejected as rejected:
            return self._reject(rejected, cors)
        if isinstance(posted, Evaluation):
            return self._evaluator.evaluate(posted, cors)
        return None if posted is None else responding.encode(posted, cors)

    def _posted(self, scope: Scope, body: bytes) -> Posted | None:
        if (request := ofrep.parse(scope, body)) is not None:
            return self._ofrep(request)
        handler = self._posts.get(_path(scope))
        return None if handler is None else handler(scope, self._find(_key(scope)), body)

    def _reject(self, rejected: Rejected, cors: bytes) -> Response:
        relay_metrics.rejected.add()
        return responding.encode(rejected.answer, cors)

    def other(self, scope: Scope) -> Response:
        """The response to a request of another path or method."""
        cors, origin = self._cors(scope), _header(scope, b"origin")
        if scope["method"] == "OPTIONS" and origin:
            return self._origins.preflight(origin, _header(scope, b"access-control-request-headers"))
        methods = _methods(scope)
        return responding.encode(responding.method_not_allowed(methods) if methods else responding.not_found(), cors)

    def too_large(self, scope: Scope) -> Response:
        answer = responding.json_answer(413, {"detail": "The request's body is too large."})
        return responding.encode(answer, self._cors(scope))

    # Reads

    def _flags(self, scope: Scope, cors: bytes) -> Read:
        key, feature = _key(scope), _query(scope).get("feature")
        accept_encoding = _header(scope, b"accept-encoding").decode("latin-1")
        find = self._find
        count, add_refetch = relay_metrics.reads["flags"].add, refetch_rate.add
        is_gzip = accepts_gzip(accept_encoding)

        def read() -> Response:
            try:
                held, server_side = find(key)
            except Rejected as rejected:
                return self._reject(rejected, cors)
            count()
            add_refetch()
            if not feature:
                return _shared(held, server_side, is_gzip, cors)
            body = held.compiled.flag(feature, server_side)
            return responding.encode(responding.evaluated(held, body, feature), cors)

        return read

    def _document(self, scope: Scope, cors: bytes) -> Read:
        key = _key(scope)
        accept_encoding = _header(scope, b"accept-encoding").decode("latin-1")
        names = (b"if-none-match", b"if-modified-since")
        conditions = ConditionalHeaders(*(_header(scope, name).decode("latin-1") for name in names))

        def read() -> Response:
            try:
                held, server_side = self._find(key)
            except Rejected as rejected:
                return self._reject(rejected, cors)
            if not server_side:
                return responding.encode(UnknownKey(key).answer, cors)
            relay_metrics.reads["environment-document"].add()
            return responding.encode_for(held.document, accept_encoding, conditions, cors)

        return read

    def _identity(self, scope: Scope, cors: bytes) -> Read:
        query = _query(scope)
        key, identifier, feature = _key(scope), query.get("identifier"), query.get("feature") or None
        if not identifier:
            raise InvalidRequest("missing", ["query", "identifier"], "Field required")

        def read() -> Result:
            try:
                evaluation = self._evaluation(self._find(key), Identity(identifier), feature)
            except Rejected as rejected:
                return self._reject(rejected, cors)
            return self._evaluator.evaluate(evaluation, cors)

        return read

    def _evaluation(self, found: Found, identity: Identity, feature: str | None = None) -> Evaluation:
        """An identity's flags, or one of them, to be evaluated."""
        held, server_side = found
        relay_metrics.reads["identities"].add()
        refetch_rate.add()

        def run() -> Answer:
            if feature is not None:
                return responding.evaluated(held, held.compiled.identity_flag(identity, feature, server_side), feature)
            return responding.evaluated(held, held.compiled.identity(identity, server_side))

        return Evaluation(held, run)

    def _ofrep(self, request: EvaluationRequest) -> Posted:
        """The answer to a request of OFREP, or its evaluation."""
        try:
            held, server_side = self._find(request.key)
        except UnknownKey:
            raise Rejected(ofrep.unauthorized()) from None
        except NoDocument:
            # The protocol has no 503.
            raise Rejected(ofrep.rejection(500, responding.NO_DOCUMENT, responding.RETRY)) from None
        if not held.is_served:
            raise Rejected(ofrep.rejection(403, "The organisation is disabled from serving flags."))
        relay_metrics.reads["identities"].add()
        refetch_rate.add()
        state = held.ofrep_states[server_side]
        return ofrep.unchanged(request, state) or Evaluation(
            held,
            partial(ofrep.answer, request, state, held.evaluations),
            partial(ofrep.failure, 400, request.flag, "GENERAL", responding.TOOK_TOO_LONG),
        )

    # Writes

    def _post_identity(self, scope: Scope, found: Found, body: bytes) -> Evaluation:
        held, server_side = found
        posted = identities.parse(body)
        may_set_traits = server_side or held.allows_client_traits
        if self._forwarder is not None and posted.traits and may_set_traits and not posted.is_transient:
            self._forward("POST", "identities/", _key(scope), posted.identifier, body)
        identity = posted.identity() if may_set_traits else Identity(posted.identifier)
        return self._evaluation(found, identity)

    def _post_totals(self, scope: Scope, found: Found, body: bytes) -> Answer:
        posted = identities.parse_json(body)
        if not isinstance(posted, dict):
            return responding.json_answer(400, {"non_field_errors": ["Expected a JSON object."]})
        source = usage.Source(_key(scope) or "", usage.labels(scope["headers"]), 1)
        for name, number in usage.totals(posted, found[0].feature_names.__contains__):
            self._usage.count(source, name, number)
        relay_metrics.reads["analytics"].add()
        # Not empty: Kotlin's SDK treats an empty body as a failure.
        return responding.json_answer(200, None)

    def _post_evaluations(self, scope: Scope, found: Found, body: bytes) -> Answer:
        posted = identities.parse_json(body)
        if (errors := usage.errors(posted)) is not None:
            return responding.json_answer(400, errors)
        source = usage.Source(_key(scope) or "", usage.labels(scope["headers"]), 2)
        for evaluation, number in usage.evaluations(posted["evaluations"], found[0].feature_names.__contains__):
            self._usage.count(source, evaluation, number)
        relay_metrics.reads["analytics"].add()
        return Answer(204, b"")

    def _post_trait(self, scope: Scope, found: Found, body: bytes) -> Answer:
        trait = identities.parse_json(body)
        if errors := traits.errors(trait, allow_null=False):
            return responding.json_answer(400, errors)
        held, server_side = found
        if not server_side and not held.allows_client_traits:
            return responding.json_answer(400, traits.NOT_ALLOWED)
        self._accept_traits("POST", "traits/", _key(scope), [trait], body)
        return responding.json_answer(200, traits.answer(trait))

    def _post_traits(self, scope: Scope, found: Found, body: bytes) -> Answer:
        held, server_side = found
        if not server_side and not held.allows_client_traits:
            return responding.json_answer(400, traits.NOT_ALLOWED_IN_BULK)
        posted = identities.parse_json(body)
        if not isinstance(posted, list):
            errors: Any = {"non_field_errors": ["Expected a list of items."]}
            return responding.json_answer(400, errors)
        errors = [traits.errors(trait, allow_null=True) for trait in posted]
        if any(errors):
            return responding.json_answer(400, errors)
        self._accept_traits("PUT", "traits/bulk/", _key(scope), posted, body)
        answers = [traits.answer(trait) for trait in posted if trait["trait_value"] is not None]
        return responding.json_answer(200, answers)

    def _accept_traits(
        self, method: str, path: str, key: str | None, posted: list[dict[str, Any]], body: bytes
    ) -> None:
        relay_metrics.reads["traits"].add()
        if self._forwarder is not None:
            if posted:
                self._forward(method, path, key, str(posted[0]["identity"]["identifier"]), body)
        elif not self._has_logged_traits:
            self._has_logged_traits = True
            logger.warning(
                "traits_not_stored",
                reason="RELAY_TRAITS is request",
                remedy="RELAY_TRAITS=forward stores them upstream.",
            )

    def _forward(self, method: str, path: str, key: str | None, identifier: str, body: bytes) -> None:
        assert self._forwarder is not None
        self._forwarder.add(TraitRequest(method, path, key or "", identifier, body))

    # Keys and headers

    def _find(self, key: str | None) -> Found:
        """The document of this key, and whether the key is server-side. Raises UnknownKey and NoDocument."""
        found = self._environments.by_key.get(key) if key is not None else None
        if found is None:
            raise UnknownKey(key)
        environment, server_side = found
        if environment.held is None:
            raise NoDocument
        return environment.held, server_side

    def _cors(self, scope: Scope) -> bytes:
        return self._origins.headers(_header(scope, b"origin"))

    # Servers

    def shortcut(self, scope: Scope) -> Answerer | None:
        """The reads, as a shortcut."""
        read = self.read(scope)
        return None if read is None else partial(_answer, read)

    def post_shortcut(self, scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
        """The POSTs, as a shortcut."""
        try:
            result = self.post(scope, body)
        except Exception:
            result = _failed(path=scope["path"])
        if result is None:
            return False
        _reply(deferred, result)
        return True


def _answer(read: Read, channel: Channel) -> bool:
    try:
        result = read()
    except Exception:
        result = _failed()
    _reply(channel.defer(), result)
    return True


def _reply(deferred: DeferredResponse, result: Result) -> None:
    if isinstance(result, Response):
        deferred.reply(result.head, result.body)
    else:
        result.add_done_callback(partial(_reply_later, deferred))


def _reply_later(deferred: DeferredResponse, task: "asyncio.Task[Response]") -> None:
    try:
        response = task.result()
    except (Exception, asyncio.CancelledError):
        response = _failed()
    deferred.reply(response.head, response.body)


def _failed(**fields: str) -> Response:
    """The response after an exception, which is logged."""
    logger.exception("relay_request_failed", **fields)
    return responding.encode(responding.json_answer(500, {"detail": "Internal Server Error"}), b"")


def _shared(held: HeldDocument, server_side: bool, is_gzip: bool, cors: bytes) -> Response:
    """The response that all clients with the same kind of key share."""
    name = server_side, is_gzip, cors
    response: Response | None = held.encoded_flags.get(name)
    if response is None:
        encoding = "gzip" if is_gzip else ""
        response = responding.encode_for(held.flags[server_side], encoding, ConditionalHeaders(), cors)
        held.encoded_flags[name] = response
    return response


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removesuffix("/")


def _methods(scope: Scope) -> tuple[str, ...]:
    """The methods of the path. Empty: the API does not have it."""
    return (*(("GET", "HEAD") if _path(scope) in READS else ()), *_write_methods(scope))


def _write_methods(scope: Scope) -> tuple[str, ...]:
    """The methods of the path that have a body."""
    return ("POST",) if ofrep.is_evaluation(scope["path"]) else WRITES.get(_path(scope), ())


def _key(scope: Scope) -> str | None:
    key = _header(scope, b"x-environment-key").decode("latin-1").strip()
    return key or None


def _query(scope: Scope) -> dict[str, str]:
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequest("string_unicode", ["query"], "Input should be UTF-8") from None
    # The first one of equal names.
    return dict(reversed(pairs))


def _header(scope: Scope, name: bytes) -> bytes:
    value: bytes = next((value for header, value in scope["headers"] if header == name), b"")
    return value


def with_api(api: Callable[[], API | None], application: Application) -> Application:
    """ASGI middleware that responds to the API's requests."""

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        current = api()
        if not scope["path"].startswith(PREFIXES) or current is None:
            await application(scope, receive, send)
            return
        response = await _respond(current, {**scope}, receive)
        if response is not None:
            if scope["method"] == "HEAD":
                response = response._replace(body=b"")
            await response.send(send)

    return call


async def _respond(api: API, scope: Scope, receive: Receive) -> Response | None:
    """The response; None: the client has disconnected."""
    method, result = scope["method"], None
    if method in ("GET", "HEAD"):
        read = api.read(scope)
        result = read() if read is not None else None
    elif method in _write_methods(scope):
        body = await _body(receive)
        if body is None:
            return None
        result = api.too_large(scope) if len(body) > MAX_BODY_BYTES else api.post(scope, body)
    if isinstance(result, asyncio.Task):
        return await result
    return api.other(scope) if result is None else result


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or the beginning of one that is too large. None: the client has disconnected."""
    parts, length, more = [], 0, True
    while more and length <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        more = message.get("more_body", False)
    return b"".join(parts)
