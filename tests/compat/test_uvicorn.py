"""Contracts of uvicorn's parts that ``realtime/compat/uvicorn.py`` uses."""

import inspect
import re
import signal
from typing import Any

import pytest
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from realtime.compat.uvicorn import Cycle, LazyProtocol
from tests.compat.parts import parameters

METHODS = {
    (HttpToolsProtocol, "__init__"): ["config", "server_state", "app_state", "_loop"],
    (HttpToolsProtocol, "connection_made"): ["transport"],
    (HttpToolsProtocol, "connection_lost"): ["exc"],
    (HttpToolsProtocol, "data_received"): ["data"],
    (HttpToolsProtocol, "pause_writing"): [],
    (HttpToolsProtocol, "on_message_begin"): [],
    (HttpToolsProtocol, "on_headers_complete"): [],
    (HttpToolsProtocol, "on_message_complete"): [],
    (HttpToolsProtocol, "on_response_complete"): [],
    (HttpToolsProtocol, "send_400_response"): ["msg"],
    (HttpToolsProtocol, "shutdown"): [],
    (HttpToolsProtocol, "_unset_keepalive_if_required"): [],
    (HttpToolsProtocol, "_start_asgi_task"): ["cycle", "app"],
    (RequestResponseCycle, "__init__"): [
        "scope",
        "transport",
        "flow",
        "logger",
        "access_logger",
        "access_log",
        "default_headers",
        "message_event",
        "expect_100_continue",
        "keep_alive",
        "on_response",
    ],
    (Server, "startup"): ["sockets"],
    (Server, "shutdown"): ["sockets"],
    (Server, "capture_signals"): [],
    (Multiprocess, "__init__"): ["config", "sockets"],
    (Multiprocess, "handle_hup"): [],
    (Multiprocess, "terminate_all"): [],
    (Multiprocess, "keep_subprocess_alive"): [],
}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Is never called."""


def config() -> Config:
    loaded = Config(application, http=HttpToolsProtocol, ws="none", log_config=None)
    loaded.load()
    return loaded


@pytest.fixture
async def protocol() -> HttpToolsProtocol:
    return HttpToolsProtocol(config(), ServerState(), {"of": "the server"})


@pytest.mark.parametrize("owner, name", METHODS)
def test_method__is_there__with_these_parameters(owner: type, name: str) -> None:
    assert parameters(getattr(owner, name)) == METHODS[owner, name]


INITIAL = ("cycle", "flow", "scope", "headers", "server", "client", "scheme", "timeout_keep_alive_task", "logger")


@pytest.mark.parametrize("name", INITIAL)
def test_protocol_attribute__initially__as_in_the_lazy_protocol(protocol: HttpToolsProtocol, name: str) -> None:
    assert getattr(protocol, name) == vars(LazyProtocol)[name]


@pytest.mark.parametrize("name", ["parser", "pipeline", "transport", "loop", "app", "access_logger", "access_log"])
def test_protocol_attribute__after_init__is_there(protocol: HttpToolsProtocol, name: str) -> None:
    assert hasattr(protocol, name)


@pytest.mark.parametrize("name, value", [("url", b""), ("headers", []), ("expect_100_continue", False)])
def test_protocol_attribute__at_a_message__is_new(protocol: HttpToolsProtocol, name: str, value: object) -> None:
    protocol.on_message_begin()
    assert getattr(protocol, name) == value
    assert protocol.scope["headers"] is protocol.headers


@pytest.mark.parametrize("name", ["read_paused", "write_paused"])
def test_flow_control__attribute__is_there(name: str) -> None:
    assert f"self.{name} = False" in inspect.getsource(inspect.getmodule(HttpToolsProtocol).FlowControl)  # type: ignore[union-attr]


def test_cycle__all_that_the_protocol_uses__is_in_ours() -> None:
    used = set(re.findall(r"\b(?:self\.|existing_)?cycle\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    assert used - set(dir(Cycle)) == {"run_asgi"}
    assert {"response_complete", "disconnected", "body", "more_body", "message_event", "keep_alive"} <= used


@pytest.mark.parametrize(
    "name, value", [("connections", set()), ("total_requests", 0), ("default_headers", []), ("tasks", set())]
)
def test_server_state__attribute__is_there(name: str, value: object) -> None:
    assert getattr(ServerState(), name) == value


async def test_server__each_second__has_new_headers() -> None:
    server = Server(config())
    await server.on_tick(0)
    first = server.server_state.default_headers
    await server.on_tick(10)
    assert first[0][0] == b"date"
    assert server.server_state.default_headers is not first


def test_server__signals__are_kept_and_raised_at_the_end() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        server = Server(config())
        with server.capture_signals():
            server.handle_exit(signal.SIGINT, None)
            assert (server._captured_signals, received) == ([signal.SIGINT], [])
        assert received == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ["processes", "sockets", "should_exit"])
def test_supervisor__attribute__is_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    assert hasattr(Multiprocess(config(), []), name)


@pytest.mark.parametrize("name", ["pid", "process", "parent_conn", "child_conn"])
def test_worker__attribute__is_there(name: str) -> None:
    assert hasattr(Process(config(), []), name)


def test_worker__terminated__its_pipe_is_closed() -> None:
    source: Any = inspect.getsource(Process.terminate)
    assert "self.parent_conn.close()" in source
