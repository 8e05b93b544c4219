"""Contracts of httptools' parts that ``realtime/compat/httptools.py`` and uvicorn's subclasses use."""

from typing import Any

import httptools
import pytest

REQUEST = b"GET /%d HTTP/1.1\r\nhost: h\r\n%b\r\n"
UPGRADE = REQUEST % (1, b"connection: upgrade\r\nupgrade: other\r\n")


class Requests:
    def __init__(self) -> None:
        self.urls: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.urls.append(url)


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
def parser(requests: Requests) -> Any:
    return httptools.HttpRequestParser(requests)


def test_upgrade__feed_data__stops_and_names_the_position(parser: Any) -> None:
    with pytest.raises(httptools.HttpParserUpgrade) as stopped:
        parser.feed_data(UPGRADE + REQUEST % (2, b""))
    assert stopped.value.args[0] == len(UPGRADE)


def test_upgrade__rest_is_fed__is_the_next_request(parser: Any, requests: Requests) -> None:
    with pytest.raises(httptools.HttpParserUpgrade):
        parser.feed_data(UPGRADE)
    parser.feed_data(REQUEST % (2, b""))
    assert requests.urls == [b"/1", b"/2"]


def test_leniency__data_after_close__is_no_error(parser: Any) -> None:
    data = REQUEST % (1, b"connection: close\r\n") + REQUEST % (2, b"")
    with pytest.raises(httptools.HttpParserError):
        httptools.HttpRequestParser(Requests()).feed_data(data)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    parser.feed_data(data)


@pytest.mark.parametrize(
    "method, value",
    [("get_method", b"GET"), ("get_http_version", "1.1"), ("should_upgrade", False), ("should_keep_alive", True)],
)
def test_parser__method__returns(parser: Any, method: str, value: object) -> None:
    parser.feed_data(REQUEST % (1, b""))
    assert getattr(parser, method)() == value
