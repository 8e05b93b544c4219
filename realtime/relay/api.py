"""The SDK API and OFREP (docs/ofrep.md) from memory: as shortcuts on a client's connection, and as ASGI."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import structlog

from realtime import ofrep
from realtime.answers import Answer, ConditionalHeaders, Response, accepts_gzip
from realtime.delivery.spread import refetch_rate
from realtime.evaluation import Identity
from realtime.http.asgi_response import ASGIResponse
from realtime.http.shortcuts import Deferrable, DeferredResponse
from realtime.ofrep import EvaluationRequest
from realtime.reads.answering import answer
from realtime.reads.read import DOCUMENT, FLAGS, IDENTITIES, OFREP, Read
from realtime.relay import identities, relay_metrics, responding, traits, usage
from realtime.relay.document import HeldDocument
from realtime.relay.environments import Environments
from realtime.relay.evaluator import Evaluator
from realtime.relay.responding import InvalidRequest, NoDocument, Origins, Rejected, UnknownKey
from realtime.relay.traits import TraitForwarder, TraitRequest
from realtime.relay.usage import Usage
from realtime.types import Application, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

PREFIXES = ("/api/", ofrep.PREFIX)

IDENTITIES_PATH = "/api/v1/identities"
ANALYTICS = "/api/v1/analytics/flags"
ANALYTICS_2 = "/api/v2/analytics/flags"
TRAITS = "/api/v1/traits"
BULK_TRAITS = "/api/v1/traits/bulk"

READS = {"/api/v1/flags": FLAGS, IDENTITIES_PATH: IDENTITIES, "/api/v1/environment-document": DOCUMENT}
WRITES = {
    IDENTITIES_PATH: ("POST",),
    ANALYTICS: ("POST",),
    ANALYTICS_2: ("POST",),
    TRAITS: ("POST",),
    BULK_TRAITS: ("PUT", "POST"),
}

MAX_BODY_BYTES = 2 * 1024 * 1024

Found = tuple[HeldDocument, bool]
"""The document of a key, and whether the key is server-side."""

Respond = Callable[[Deferrable], bool]
"""Responds to a GET, now or later, and returns true (``Answerer``)."""


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
        self._posts: dict[str, Callable[[Scope, Found, bytes], Answer | Read]] = {
            IDENTITIES_PATH: self._post_identity,
            ANALYTICS: self._post_totals,
            ANALYTICS_2: self._post_evaluations,
            TRAITS: self._post_trait,
            BULK_TRAITS: self._post_traits,
        }

    # Requests

    def shortcut(self, scope: Scope) -> Respond | None:
        """What responds to GETs of the same bytes. None: the path is none of the API's reads."""
        endpoint = READS.get(_path(scope))
        if endpoint is None:
            return None
        cors = self._cors(scope)
        try:
            return self._responder(scope, endpoint, cors)
        except InvalidRequest as invalid:
            return partial(_reply, responding.encode(invalid.answer, cors))

    def _responder(self, scope: Scope, endpoint: str, cors: bytes) -> Respond:
        key, reads = _key(scope), _parse_reads(scope, endpoint)
        accept_encoding = _header(scope, b"accept-encoding").decode("latin-1")
        form = accepts_gzip(accept_encoding), cors
        is_document, is_individual = endpoint is DOCUMENT, not reads[False].is_shared
        names = (b"if-none-match", b"if-modified-since") if is_document else ()
        conditions = ConditionalHeaders(*(_header(scope, name).decode("latin-1") for name in names))
        find, evaluate = self._find, self._evaluator.respond
        count, add_refetch = relay_metrics.reads[endpoint].add, refetch_rate.add

        def respond(channel: Deferrable) -> bool:
            deferred = channel.defer()
            try:
                held, server_side = find(key)
                if is_document and not server_side:
                    raise UnknownKey(key)
                count()
                add_refetch()
                if is_individual:
                    evaluate(reads[server_side], held, cors, deferred)
                    return True
                rendered = held.rendered_flags[server_side]
                response = None if is_document else rendered.get(form)
                if response is None:
                    shared = answer(reads[server_side], held)
                    response = responding.encode_for(shared, accept_encoding, conditions, cors)
                    if not is_document:
                        rendered[form] = response
            except Rejected as rejected:
                response = self._reject(rejected, cors)
            except Exception:
                response = responding.failed()
            deferred.reply(*response)
            return True

        return respond

    def post(self, scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
        """Respond to a POST or PUT. False: the path is none of the API's writes."""
        cors = self._cors(scope)
        try:
            if (request := ofrep.parse(scope)) is not None:
                self._respond_to_ofrep(request, body, cors, deferred)
                return True
            handler = self._posts.get(_path(scope))
            if handler is None:
                return False
            found = self._find(_key(scope))
            posted = handler(scope, found, body)
            if isinstance(posted, Read):
                self._evaluator.respond(posted, found[0], cors, deferred)
            else:
                deferred.reply(*responding.encode(posted, cors))
        except Rejected as rejected:
            deferred.reply(*self._reject(rejected, cors))
        except Exception:
            deferred.reply(*responding.failed(path=scope["path"]))
        return True

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

    def _respond_to_ofrep(
        self, request: EvaluationRequest, body: bytes, cors: bytes, deferred: DeferredResponse
    ) -> None:
        key, flag, known = request
        try:
            held, server_side = self._find(key)
        except UnknownKey:
            raise Rejected(ofrep.unauthorized()) from None
        except NoDocument:
            # The protocol has no 503.
            raise Rejected(ofrep.rejection(500, responding.NO_DOCUMENT, responding.RETRY)) from None
        if not held.is_served:
            raise Rejected(ofrep.rejection(403, "The organisation is disabled from serving flags."))
        relay_metrics.reads[IDENTITIES].add()
        refetch_rate.add()
        read = Read(OFREP, server_side, flag, None, body, known, held.names_streams)
        unchanged = ofrep.unchanged(read, held.revision, held.updated_at)
        if unchanged is None:
            self._evaluator.respond(read, held, cors, deferred)
        else:
            deferred.reply(*responding.encode(unchanged, cors))

    # Writes

    def _post_identity(self, scope: Scope, found: Found, body: bytes) -> Read:
        held, server_side = found
        posted = identities.parse(body)
        may_set_traits = server_side or held.allows_client_traits
        if self._forwarder is not None and posted.traits and may_set_traits and not posted.is_transient:
            self._forward("POST", "identities/", _key(scope), posted.identifier, body)
        identity = posted.identity() if may_set_traits else Identity(posted.identifier)
        relay_metrics.reads[IDENTITIES].add()
        refetch_rate.add()
        return Read(IDENTITIES, server_side, None, identity)

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
        origins = self._origins
        return origins.headers(b"" if origins.allows_all else _header(scope, b"origin"))


def _reply(response: Response, channel: Deferrable) -> bool:
    channel.defer().reply(*response)
    return True


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


def _parse_reads(scope: Scope, endpoint: str) -> tuple[Read, Read]:
    """The read of a GET with a client-side key, and with a server-side key. Raises InvalidRequest."""
    query = {} if endpoint is DOCUMENT else _query(scope)
    identity = None
    if endpoint is IDENTITIES:
        if not (identifier := query.get("identifier")):
            raise InvalidRequest("missing", ["query", "identifier"], "Field required")
        identity = Identity(identifier)
    feature = query.get("feature") or None
    return Read(endpoint, False, feature, identity), Read(endpoint, True, feature, identity)


def _query(scope: Scope) -> dict[str, str]:
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidRequest("string_unicode", ["query"], "Input should be UTF-8") from None
    # The first one of equal names.
    return dict(reversed(pairs))


def _header(scope: Scope, name: bytes) -> bytes:
    value: bytes
    for header, value in scope["headers"]:
        if header == name:
            return value
    return b""


def with_api(api: Callable[[], API | None], application: Application) -> Application:
    """ASGI middleware that responds to the API's requests."""

    async def call(scope: Message, receive: Receive, send: Send) -> None:
        current = api()
        if not scope["path"].startswith(PREFIXES) or current is None:
            await application(scope, receive, send)
            return
        scope, method, deferred = {**scope}, scope["method"], ASGIResponse()
        responds = False
        if method in ("GET", "HEAD"):
            respond = current.shortcut(scope)
            responds = respond is not None and respond(deferred)
        elif method in _write_methods(scope):
            body = await _body(receive)
            if body is None:
                return
            if len(body) > MAX_BODY_BYTES:
                responds = _reply(current.too_large(scope), deferred)
            else:
                responds = current.post(scope, body, deferred)
        if not responds:
            _reply(current.other(scope), deferred)
        response = await deferred.response
        assert response is not None
        await response.send(send, has_body=method != "HEAD")

    return call


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
