"""The table: requests, what the product responds, and what differs in the relay."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from tests.ofrep.test_evaluation import INVALID as INVALID_EVALUATIONS

By = Literal["shortcut", "left", "Django"]
"""What responds to the request on the product's connection: the shortcut; Django, after the shortcut has tried; or
Django at once."""

KNOWN = "ada"
"""An identity with stored traits and an override."""

UNICODE = "Ünï 語+&"
"""A stored identity without them."""

TRAITS = [
    {"trait_key": "plan", "trait_value": "pro7"},
    {"trait_key": "age", "trait_value": 42},
    {"trait_key": "height", "trait_value": 1.75},
    {"trait_key": "member", "trait_value": True},
]

CONTEXT = {"targetingKey": KNOWN, "plan": "pro7", "age": 42, "height": 1.75, "member": True, "nothing": None}


@dataclass(frozen=True)
class Differs:
    """The relay's answer, where it is not the product's."""

    status: int
    reason: str


@dataclass(frozen=True)
class Row:
    name: str
    method: str
    path: str
    headers: dict[str, str]
    """A value that is a key's name is replaced by the key."""
    content: bytes | None = None
    status: int = 200
    """That of the product."""
    by: By = "shortcut"
    relay: Differs | None = None
    bearer: str = ""
    """The name of the key in ``Authorization``."""
    conditions: dict[str, str] = field(default_factory=dict)
    """Headers of the request, and the header of an earlier answer that each one's value is from."""

    def __str__(self) -> str:
        return f"{self.method} {self.path[:60]} {self.name}"


SHAPE = "error in the Edge Proxy's shape"
DENIED = Differs(401, SHAPE)
MISSING = Differs(404, SHAPE)
NOT_ALLOWED = Differs(405, SHAPE)
INVALID = Differs(422, SHAPE)
NOT_STORED = Differs(200, "it does not know stored traits")
NOT_A_PAIR = Differs(401, "it holds no document of an organisation that its upstream does not serve")
NOT_HIDDEN = Differs(200, "server-side keys get disabled flags, as from the Edge Proxy")
NOT_VALIDATED = Differs(200, "the Edge Proxy does not validate this")
ANY_HOST = Differs(200, "it does not check the host")
ANY_HEADER = Differs(200, "a preflight may ask for any header, and gets no type of its empty body")

ORIGIN = {"Origin": "https://shop.example"}
GZIP = {"Accept-Encoding": "br, gzip;q=0.5"}
NO_GZIP = {"Accept-Encoding": "br, gzip;q=0"}
TEXT = {"Content-Type": "text/plain"}
PREFLIGHT = {
    **ORIGIN,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-environment-key, content-type",
}


def request(
    method: str, path: str, key: str = "shop", name: str = "", *, headers: dict[str, str] | None = None, **options: Any
) -> Row:
    """A request of the SDK API with this key; empty: none."""
    own = {"X-Environment-Key": key} if key else {}
    if "content" in options:
        own["Content-Type"] = "application/json"
    return Row(f"{key} {name}", method, f"/api/v1/{path}", {**own, **(headers or {})}, **options)


def get(path: str, key: str = "shop", name: str = "", **options: Any) -> Row:
    return request("GET", path, key, name, **options)


def identity(identifier: str, key: str = "shop", name: str = "", query: str = "", **options: Any) -> Row:
    return get(f"identities/?identifier={quote(identifier)}{query}", key, name, **options)


def post(
    body: Any, key: str = "shop", name: str = "", *, path: str = "identities/", method: str = "POST", **options: Any
) -> Row:
    """A request with this body: bytes, or an object as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return request(method, path, key, name or content[:60].decode("latin-1"), content=content, **options)


def transient(key: str = "shop", name: str = "", relay: Differs | None = None, **traits: Any) -> Row:
    """An identity that is not stored, with these traits."""
    named = [{"trait_key": trait, "trait_value": value} for trait, value in traits.items()]
    return post({"identifier": "fay", "transient": True, "traits": named}, key, name, relay=relay)


def evaluate(
    body: Any,
    flag: str = "",
    key: str = "shop",
    name: str = "",
    *,
    headers: dict[str, str] | None = None,
    **options: Any,
) -> Row:
    """A request of OFREP with this body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {"X-API-Key": key} if key else {}
    own["Content-Type"] = "application/json"
    path = "/ofrep/v1/evaluate/flags" + (f"/{quote(flag)}" if flag else "")
    return Row(f"{key} {name or content[:60]!r}", "POST", path, {**own, **(headers or {})}, content, **options)


BULK = {"context": CONTEXT}

FLAGS = [
    get("flags/"),
    get("flags/", "ser.shop"),
    get("flags/", "closed"),
    get("flags/", "ser.closed", relay=NOT_HIDDEN),
    get("flags/", "quiet"),
    get("flags/", "shop", "origin", headers=ORIGIN),
    get("flags/", "shop", "gzip", headers=GZIP),
    get("flags/", "shop", "no gzip", headers=NO_GZIP),
    get("flags/", "shop", "another Accept", headers={"Accept": "text/html"}),
    get("flags/", "shop", "condition", headers={"If-None-Match": "*"}),
    get("flags/", "shop", "origin and gzip", headers=ORIGIN | GZIP),
    get("flags/", "shop", "another host", headers={"Host": "elsewhere.example"}, by="left", status=400, relay=ANY_HOST),
    get("flags", by="Django", status=301, relay=Differs(200, "a slash at the end is optional, as in the Edge Proxy")),
    get("flags/?feature=text", by="Django"),
    get("flags/?feature=secret", "ser.shop", by="Django"),
    get("flags/?feature=secret", status=404, by="Django", relay=MISSING),
    get("flags/?feature=off", "closed", status=404, by="Django", relay=MISSING),
    get("flags/?feature=unknown", status=404, by="Django", relay=MISSING),
]

IDENTITIES = [
    identity(UNICODE),
    identity(UNICODE, "ser.shop"),
    identity(UNICODE, "closed"),
    identity(UNICODE, "ser.closed", relay=NOT_HIDDEN),
    identity(UNICODE, name="origin", headers=ORIGIN),
    identity(UNICODE, name="gzip", headers=GZIP),
    identity(KNOWN, name="with stored traits", relay=NOT_STORED),
    identity(KNOWN, "closed"),
    identity(UNICODE, query="&feature=split", by="Django"),
    identity(KNOWN, query="&feature=banner", by="Django"),
    identity(KNOWN, query="&feature=unknown", status=404, by="Django", relay=MISSING),
    identity(KNOWN, "closed", query="&feature=off", status=404, by="Django", relay=MISSING),
    identity("new", by="left"),
    identity("new", query="&transient=true", by="Django"),
    identity("new", query="&transient=nonsense", by="Django", status=400, relay=NOT_VALIDATED),
    identity(KNOWN + " ", name="whitespace", by="Django"),
    identity(" " + KNOWN, name="whitespace", by="Django"),
    identity("a" * 2_000, name="long", by="left"),
    identity("a" * 2_001, name="too long", by="Django", status=400, relay=NOT_VALIDATED),
    identity("語" * 900, name="too many bytes", by="left", status=400, relay=NOT_VALIDATED),
    identity("a\0", name="null", by="Django", status=400, relay=NOT_VALIDATED),
    get("identities/?identifier=%ff", by="Django", relay=Differs(422, "the Edge Proxy takes no invalid UTF-8")),
    get("identities/?identifier=ada&identifier=bob", by="Django", relay=Differs(200, "it takes the first one")),
    get("identities/?identifier=", by="Django", status=400, relay=INVALID),
    get("identities/", by="Django", status=400, relay=INVALID),
]

POSTS = [
    post({"identifier": KNOWN, "traits": TRAITS}, name="stored traits"),
    post({"identifier": KNOWN, "traits": TRAITS}, "ser.shop", "stored traits", headers=ORIGIN),
    post({"identifier": KNOWN}, relay=NOT_STORED),
    post({"identifier": UNICODE}),
    post({"identifier": UNICODE, "transient": True}),
    post({"identifier": UNICODE, "traits": [{"trait_key": "plan", "trait_value": "pro7", "transient": True}]}),
    post({"identifier": "new"}, by="Django"),
    post({"identifier": "new", "traits": TRAITS}, name="new traits", by="Django"),
    transient(number=-7, zero=0, large=2**53 + 1),
    transient(half=0.5, small=1e-7, large=1e22, whole=5.0),
    transient(yes=True, no=False),
    transient(plan="max", empty="", text="Ünï \u2028 \ud83d\ude00 \"'"),
    transient(plan=None, number=1),
    transient("closed", "traits of a client that may not set them", plan="pro"),
    transient("ser.closed", relay=NOT_HIDDEN, plan="pro"),
    post({"traits": [{"trait_key": "plan", "trait_value": "pro"}]}, name="anonymous", by="Django"),
    post({"identifier": "", "traits": [{"trait_key": "plan", "trait_value": "pro"}]}, by="Django"),
    post({"identifier": 42}, by="Django"),
    post({"identifier": None}, "quiet", by="Django", relay=INVALID),
    post({"traits": []}, "quiet", by="Django", relay=INVALID),
    post({"identifier": ["ada"]}, by="Django", status=400, relay=INVALID),
    post({"identifier": "a" * 2_001}, name="too long", by="Django", status=400, relay=NOT_VALIDATED),
    post({"identifier": KNOWN, "traits": {}}, by="Django", status=400, relay=INVALID),
    post({"identifier": KNOWN, "traits": None}, by="Django", relay=NOT_STORED),
    post({"identifier": "new", "traits": [{"trait_key": "plan", "trait_value": ["pro"]}]}, by="Django", relay=INVALID),
    post({"identifier": "new", "traits": [{"trait_key": "plan"}]}, by="Django", status=400, relay=NOT_VALIDATED),
    post({"identifier": KNOWN, "transient": "true"}, by="Django", relay=NOT_STORED),
    post({"identifier": KNOWN, "other": 1}, by="Django", relay=NOT_STORED),
    post(b'{"identifier": "ada", "identifier": "bob"}', by="Django", status=400, relay=NOT_VALIDATED),
    post(b"{", by="Django", status=400, relay=INVALID),
    post(b"[]", by="Django", status=400, relay=INVALID),
    post(b"", "quiet", "empty", by="Django", relay=INVALID),
    post(b'{"identifier": "\xff"}', by="Django", status=400, relay=INVALID),
    post(b'{"identifier": "a", "n": NaN}', by="Django", status=400, relay=INVALID),
    post({"identifier": UNICODE}, name="charset", headers={"Content-Type": "application/json; charset=utf-8"}),
    post({"identifier": UNICODE}, name="no JSON", headers=TEXT, by="Django", status=415, relay=NOT_VALIDATED),
    post({"identifier": KNOWN}, "nobody", by="Django", status=403, relay=DENIED),
    post({"identifier": KNOWN}, "", by="Django", status=403, relay=DENIED),
    post({"identifier": KNOWN}, "stopped", by="Django", status=403, relay=NOT_A_PAIR),
]

DOCUMENTS = [
    get("environment-document/", "ser.shop"),
    get("environment-document/", "ser.closed"),
    get("environment-document/", "ser.quiet"),
    get("environment-document/", "ser.shop", "origin", headers=ORIGIN),
    get("environment-document/", "ser.shop", "gzip", headers=GZIP),
    get("environment-document/", "ser.shop", "its ETag", conditions={"If-None-Match": "etag"}, status=304),
    get("environment-document/", "ser.shop", "its date", conditions={"If-Modified-Since": "last-modified"}, status=304),
    get("environment-document/", "ser.shop", "any ETag", headers={"If-None-Match": "*"}, status=304),
    get("environment-document/", "ser.shop", "another ETag", headers={"If-None-Match": '"other"'}),
    get("environment-document/", "ser.shop", "no date", headers={"If-Modified-Since": "yesterday"}),
    get("environment-document/", status=403, by="Django", relay=DENIED),
]

TRAIT = {"identity": {"identifier": "new"}, "trait_key": "plan", "trait_value": "pro"}

WRITES = [
    post(TRAIT, path="traits/", by="Django"),
    post(TRAIT, "closed", path="traits/", by="Django", status=400),
    post({}, path="traits/", by="Django", status=400, relay=Differs(400, "it names the fields in another order")),
    post([TRAIT, {**TRAIT, "trait_key": "age", "trait_value": None}], path="traits/bulk/", method="PUT", by="Django"),
    post([TRAIT], path="traits/bulk/", by="Django"),
    post([TRAIT], "closed", path="traits/bulk/", by="Django", status=400),
    post({"text": 3, "unknown": 1, "on": "x"}, path="analytics/flags/", by="Django"),
    post([], path="analytics/flags/", by="Django", status=400),
    get("traits/", by="Django", status=405, relay=NOT_ALLOWED),
]

OFREP = [
    evaluate(BULK),
    evaluate(BULK, "", "ser.shop"),
    evaluate(BULK, "", "closed"),
    evaluate(BULK, "", "ser.closed", relay=NOT_HIDDEN),
    evaluate(BULK, "", "quiet"),
    evaluate(BULK, "", "", "bearer", bearer="ser.shop"),
    evaluate(BULK, name="origin", headers=ORIGIN),
    evaluate(BULK, name="gzip", headers=GZIP),
    evaluate({"context": {"targetingKey": UNICODE}}),
    evaluate({"context": {**CONTEXT, "nested": {"plan": ["x"]}, "list": [1], "\u00e9": True}}, name="other attributes"),
    evaluate(BULK, name="its ETag", conditions={"If-None-Match": "etag"}, status=304),
    evaluate(BULK, name="another ETag", headers={"If-None-Match": '"other"'}),
    *(evaluate(BULK, flag) for flag in ("banner", "number", "split", "off", "empty")),
    evaluate(BULK, "secret", status=404),
    *(evaluate(BULK, flag, status=404, by="Django") for flag in ("x y/z", "x\ny", "\u00e9")),
    evaluate(BULK, "off", "closed", status=404),
    *(evaluate(body, flag, status=400) for flag in ("", "banner") for body, _ in INVALID_EVALUATIONS),
    *(evaluate(BULK, flag, key, by="Django", status=401) for flag in ("", "banner") for key in ("", "nobody")),
    *(evaluate(BULK, flag, "stopped", by="Django", status=403, relay=NOT_A_PAIR) for flag in ("", "banner")),
    evaluate({"context": {**CONTEXT, "long": "x" * 5_000}}, name="longer than a shortcut reads", by="Django"),
    Row("", "GET", "/ofrep/v1/evaluate/flags", {"X-API-Key": "shop"}, status=405, by="Django", relay=NOT_ALLOWED),
]

READS = {"flags/": "shop", f"identities/?identifier={KNOWN}": "shop", "environment-document/": "ser.shop"}

KEYS = [
    row
    for path, key in READS.items()
    for row in (
        get(path, "ser.nobody", status=403, by="left", relay=DENIED),
        get(path, "ser.stopped", status=403, by="left", relay=NOT_A_PAIR),
        get(path, "", status=403, by="Django", relay=DENIED),
        get(path, "nobody", status=403, by="left" if key == "shop" else "Django", relay=DENIED),
    )
]

METHODS = [
    *(request("HEAD", path, key, by="Django") for path, key in READS.items()),
    *(request("PUT", path, key, by="Django", status=405, relay=NOT_ALLOWED) for path, key in READS.items()),
    *(
        request("OPTIONS", path, by="Django", status=403, relay=NOT_ALLOWED)
        for path in (*READS, "traits/", "traits/bulk/", "analytics/flags/")
    ),
    *(
        Row("preflight", "OPTIONS", path, PREFLIGHT, by="Django", relay=ANY_HEADER)
        for path in ("/api/v1/flags/", "/api/v1/identities/", "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/on")
    ),
]

# What Java's HTTP client sends with its first request. A server that changes no protocol ignores it (RFC 9110, 7.8).
H2C = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}

UPGRADES = [
    get("flags/", name="h2c", headers=H2C),
    post({"identifier": KNOWN, "traits": TRAITS}, name="h2c", headers=H2C),
    evaluate(BULK, name="h2c", headers=H2C),
    evaluate(BULK, "on", name="h2c", headers=H2C),
    post({"on": 1}, name="h2c", path="analytics/flags/", by="Django", headers=H2C),
]

ROWS = [*FLAGS, *IDENTITIES, *POSTS, *DOCUMENTS, *WRITES, *OFREP, *KEYS, *METHODS, *UPGRADES]
