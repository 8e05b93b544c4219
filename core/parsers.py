"""Strict parsers of request bodies: JSON, and forms on the Admin API."""

import codecs
import json
import math
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import parse_qsl

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.utils import json as strict_json


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The request's body is too large."
    default_code = "body_too_large"


# Levels of nested lists and objects. Far deeper ones overflow the stack even in a ``repr`` for an error message.
MAX_LEVELS = 100


class StrictJSONParser(JSONParser):
    """JSON parser that accepts only documents which can be stored and serialized again.

    Raises ParseError (400) for invalid JSON, NaN and infinities (such as 1e999), unpaired surrogates (UTF-8 cannot
    encode them), duplicate names in an object (parsers differ in which one they take) and nesting of more than
    ``MAX_LEVELS``; BodyTooLarge (413) for more bytes than ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = _body(stream, parser_context)
        try:
            return parse_json(body)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"JSON parse error - {error}") from error


def parse_json(body: bytes) -> Any:
    """Parse a document with the rules of ``StrictJSONParser``. Raises ValueError or RecursionError."""
    parsed = json.loads(
        codecs.decode(body, "utf-8"),
        parse_constant=strict_json.strict_constant,
        parse_float=_finite,
        object_pairs_hook=_without_duplicates,
    )
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS:
        _limit_levels(parsed)
    if b"\\u" in body:
        json.dumps(parsed, ensure_ascii=False).encode()
    return parsed


class StrictFormParser(BaseParser):
    """Parser of ``application/x-www-form-urlencoded``, which ``curl -d name=value`` sends, into a dict of text.

    A repeated name has a list. A missing field has its default, as in JSON: Django REST framework's own form parser
    takes a missing boolean for false, which would turn ``allow_client_traits`` off.

    Raises ParseError (400) for an invalid form, for text that is not UTF-8 and for more fields than
    ``DATA_UPLOAD_MAX_NUMBER_FIELDS``; BodyTooLarge (413) as above.
    """

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, str | list[str]]:
        body = _body(stream, parser_context)
        if body.lstrip()[:1] in (b"{", b"["):
            raise ParseError("The body is JSON, but its Content-Type is a form. Send application/json.")
        try:
            pairs = parse_qsl(
                body.decode("utf-8").strip(),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
            )
        except ValueError as error:
            raise ParseError(f"Form parse error - {error}") from error
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}


class StrictMultiPartParser(MultiPartParser):
    """Parser of ``multipart/form-data``, for uploads. Raises UnsupportedMediaType for a compressed body."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        _reject_compression((parser_context or {}).get("request"))
        return super().parse(stream, media_type, parser_context)


def _body(stream: IO[Any], parser_context: Mapping[str, Any] | None) -> bytes:
    """The whole body. Raises BodyTooLarge, and UnsupportedMediaType for one that is compressed."""
    _reject_compression((parser_context or {}).get("request"))
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge
    return body


def _reject_compression(request: Request | None) -> None:
    """Raise UnsupportedMediaType for a compressed body: a megabyte of gzip can expand to a gigabyte."""
    coding = request.headers.get("Content-Encoding", "identity") if request else "identity"
    if coding.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType(coding, f'Unsupported content coding "{coding[:50]}" in request.')


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is out of range")
    return number


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("an object has the same name twice")
    return names


def _limit_levels(parsed: Any) -> None:
    level = [parsed]
    for _ in range(MAX_LEVELS + 1):
        lists = [item if isinstance(item, list) else item.values() for item in level if isinstance(item, (list, dict))]
        level = [child for children in lists for child in children]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_LEVELS} levels deep")
