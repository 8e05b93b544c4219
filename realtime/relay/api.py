"""The SDK API and OFREP from memory: as shortcuts on a client's connection (``realtime.http.shortcuts``), and as ASGI.

Both parse a request to the same ``Read`` or call the same ``post``.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import structlog

from realtime import ofrep
from realtime.answers import ConditionalHeaders, accepts_gzip, http_head
from realtime.delivery.spread import refetch_rate
from realtime.evaluation import Identity
from realtime.http.shortcuts import Answerer, Channel, DeferredResponse
from realtime.relay import identities, relay_metrics, responding, traits, usage
from realtime.relay.document import HeldDocument
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluator, TookTooLong
from realtime.relay.identities import Evaluation
from realtime.relay.openfeature import OpenFeature
from realtime.relay.responding import InvalidRequest, Origins, Response, Result
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

MISSING_IDENTIFIER = InvalidRequest("missing", ["query", "identifier"], "Field required")

Found = tuple[HeldDocument, bool]
"""The document of a key, and whether the key is server-side."""

Read = Callable[[], Result]
"""Responds to a GET. It is called for each request of the same bytes."""


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
        self._openfeature = OpenFeature(environments, evaluator)
        self._usage = usage_counts
        self._forwarder = forwarder
        self._has_logged_traits = False
        self._reads: dict[str, Callable[[Scope, bytes], Read]] = {
            FLAGS: self._flags,
            IDENTITIES: self._identity,
            DOCUMENT: self._document,
        }
        self._posts: dict[str, Callable[[Scope, Found, bytes, bytes], Result]] = {
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
            return handler(scope, cors)
        except InvalidRequest as invalid:
            response = invalid.response(cors)
            return lambda: response

    def post(self, scope: Scope, body: bytes) -> Result | None:
        """The response to a POST or PUT; None: the path is none of the API's writes."""
        cors = self._cors(scope)
        if (evaluation := ofrep.parse(scope, body)) is not None:
            return self._openfeature.respond(evaluation, cors)
        handler = self._posts.get(_path(scope))
        if handler is None:
            return None
        found = self._find(_key(scope), cors)
        if isinstance(found, Response):
            return found
        try:
            return handler(scope, found, body, cors)
        except InvalidRequest as invalid:
            relay_metrics.rejected.add()
            return invalid.response(cors)

    def other(self, scope: Scope) -> Response:
        """The response to a request of another path or method."""
        cors, origin = self._cors(scope), _header(scope, b"origin")
        if scope["method"] == "OPTIONS" and origin:
            return self._origins.preflight(origin, _header(scope, b"access-control-request-headers"))
        if methods := _methods(scope):
            return responding.method_not_allowed(methods, cors)
        return responding.not_found(cors)

    def too_large(self, scope: Scope) -> Response:
        return responding.json_response(413, {"detail": "The request's body is too large."}, self._cors(scope))

    # Reads

    def _flags(self, scope: Scope, cors: bytes) -> Read:
        key, feature = _key(scope), _query(scope).get("feature")
        accept_encoding = _header(scope, b"accept-encoding").decode("latin-1")
        find = self._find
        count, add_refetch = relay_metrics.reads["flags"].add, refetch_rate.add
        is_gzip = accepts_gzip(accept_encoding)

        def read() -> Response:
            found = find(key, cors)
            if isinstance(found, Response):
                return found
            held, server_side = found
            count()
            add_refetch()
            if not feature:
                return _shared(held, server_side, is_gzip, cors)
            body = held.compiled.flag(feature, server_side)
            if body is None:
                return responding.feature_not_found(feature, cors)
            return responding.evaluated(held, body, cors)

        return read

    def _document(self, scope: Scope, cors: bytes) -> Read:
        key = _key(scope)
        accept_encoding = _header(scope, b"accept-encoding").decode("latin-1")
        names = (b"if-none-match", b"if-modified-since")
        conditions = ConditionalHeaders(*(_header(scope, name).decode("latin-1") for name in names))

        def read() -> Response:
            found = self._find(key, cors)
            if isinstance(found, Response):
                return found
            held, server_side = found
            if not server_side:
                return responding.unknown_key(key, cors)
            relay_metrics.reads["environment-document"].add()
            return responding.encoded(held.document, accept_encoding, conditions, cors)

        return read

    def _identity(self, scope: Scope, cors: bytes) -> Read:
        query = _query(scope)
        key, identifier, feature = _key(scope), query.get("identifier"), query.get("feature") or None
        if not identifier:
            raise MISSING_IDENTIFIER
        find, count, add_refetch = self._find, relay_metrics.reads["identities"].add, refetch_rate.add

        def read() -> Result:
            found = find(key, cors)
            if isinstance(found, Response):
                return found
            held, server_side = found
            count()
            add_refetch()
            return self._evaluate(Evaluation(held, server_side, Identity(identifier), feature), cors)

        return read

    # Writes

    def _post_identity(self, scope: Scope, found: Found, body: bytes, cors: bytes) -> Result:
        held, server_side = found
        posted = identities.parse(body)
        may_set_traits = server_side or held.allows_client_traits
        if self._forwarder is not None and posted.traits and may_set_traits and not posted.is_transient:
            self._forward("POST", "identities/", _key(scope), posted.identifier, body)
        relay_metrics.reads["identities"].add()
        refetch_rate.add()
        identity = posted.identity() if may_set_traits else Identity(posted.identifier)
        return self._evaluate(Evaluation(held, server_side, identity), cors)

    def _post_totals(self, scope: Scope, found: Found, body: bytes, cors: bytes) -> Response:
        posted = identities.parse_json(body)
        if not isinstance(posted, dict):
            return responding.json_response(400, {"non_field_errors": ["Expected a JSON object."]}, cors)
        source = usage.Source(_key(scope) or "", usage.labels(scope["headers"]), 1)
        for name, number in usage.totals(posted, found[0].feature_names.__contains__):
            self._usage.count(source, name, number)
        relay_metrics.reads["analytics"].add()
        # Not empty: Kotlin's SDK treats an empty body as a failure.
        return responding.json_response(200, None, cors)

    def _post_evaluations(self, scope: Scope, found: Found, body: bytes, cors: bytes) -> Response:
        posted = identities.parse_json(body)
        if (errors := usage.errors(posted)) is not None:
            return responding.json_response(400, errors, cors)
        source = usage.Source(_key(scope) or "", usage.labels(scope["headers"]), 2)
        for evaluation, number in usage.evaluations(posted["evaluations"], found[0].feature_names.__contains__):
            self._usage.count(source, evaluation, number)
        relay_metrics.reads["analytics"].add()
        return Response(http_head(204, []) + cors, b"")

    def _post_trait(self, scope: Scope, found: Found, body: bytes, cors: bytes) -> Response:
        trait = identities.parse_json(body)
        if errors := traits.errors(trait, allow_null=False):
            return responding.json_response(400, errors, cors)
        held, server_side = found
        if not server_side and not held.allows_client_traits:
            return responding.json_response(400, traits.NOT_ALLOWED, cors)
        self._accept_traits("POST", "traits/", _key(scope), [trait], body)
        return responding.json_response(200, traits.answer(trait), cors)

    def _post_traits(self, scope: Scope, found: Found, body: bytes, cors: bytes) -> Response:
        held, server_side = found
        if not server_side and not held.allows_client_traits:
            return responding.json_response(400, traits.NOT_ALLOWED_IN_BULK, cors)
        posted = identities.parse_json(body)
        if not isinstance(posted, list):
            errors: Any = {"non_field_errors": ["Expected a list of items."]}
            return responding.json_response(400, errors, cors)
        errors = [traits.errors(trait, allow_null=True) for trait in posted]
        if any(errors):
            return responding.json_response(400, errors, cors)
        self._accept_traits("PUT", "traits/bulk/", _key(scope), posted, body)
        answers = [traits.answer(trait) for trait in posted if trait["trait_value"] is not None]
        return responding.json_response(200, answers, cors)

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

    def _evaluate(self, evaluation: Evaluation, cors: bytes) -> Result:
        return self._evaluator.evaluate(evaluation, partial(_evaluated, evaluation, cors))

    # Keys and headers

    def _find(self, key: str | None, cors: bytes) -> Found | Response:
        """The document of this key, and whether the key is server-side; or the response without one."""
        found = self._environments.by_key.get(key) if key is not None else None
        if found is None:
            relay_metrics.rejected.add()
            return responding.unknown_key(key, cors)
        environment, server_side = found
        if environment.held is None:
            relay_metrics.rejected.add()
            return responding.no_document(cors)
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
            logger.exception("relay_request_failed", path=scope["path"])
            result = responding.json_response(500, {"detail": "Internal Server Error"}, b"")
        if result is None:
            return False
        _reply(deferred, result)
        return True


def _answer(read: Read, channel: Channel) -> bool:
    try:
        result = read()
    except Exception:
        logger.exception("relay_request_failed")
        result = responding.json_response(500, {"detail": "Internal Server Error"}, b"")
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
        logger.exception("relay_request_failed")
        response = responding.json_response(500, {"detail": "Internal Server Error"}, b"")
    deferred.reply(response.head, response.body)


def _shared(held: HeldDocument, server_side: bool, is_gzip: bool, cors: bytes) -> Response:
    """The response that all clients with the same kind of key share."""
    name = server_side, is_gzip, cors
    response: Response | None = held.heads.get(name)
    if response is None:
        encoding = "gzip" if is_gzip else ""
        response = responding.encoded(held.flags[server_side], encoding, ConditionalHeaders(), cors)
        held.heads[name] = response
    return response


def _evaluated(evaluation: Evaluation, cors: bytes, body: bytes | TookTooLong | None) -> Response:
    if isinstance(body, TookTooLong):
        return responding.took_too_long(cors)
    if body is None:
        return responding.feature_not_found(evaluation.feature or "", cors)
    return responding.evaluated(evaluation.held, body, cors)


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
