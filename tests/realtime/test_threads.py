"""The number of threads in a process of the product."""

import re
from collections.abc import Callable
from contextlib import ExitStack

import requests

from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

MAX_THREADS = 10

OF_LIBRARIES = re.compile(
    # The event loop's. asgiref's, asyncio's: Django's views. psycopg-pool's.
    r"MainThread|ThreadPoolExecutor-\d+_\d+|asyncio_\d+|pool-\d+-(worker-\d+|scheduler)"
)


def test_worker__streams_reads_and_changes_in_use__at_most_ten_threads_of_ours(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(database="postgresql", DJANGO_SETTINGS_MODULE="tests.realtime.counted_threads")
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner", initial_value="before")["id"]
    keys = tenant.environment
    # The thread that has hashed the user's password stays until the process ends.
    server.stop()
    server.start()
    with requests.Session() as sdk, ExitStack() as streams:
        sdk.headers["X-Environment-Key"] = sdk.headers["X-API-Key"] = keys.key
        stream = streams.enter_context(sse.connect(server.port, keys.key))
        streams.enter_context(sse.connect(server.port, keys.key))
        before = stream.next_event().updated_at

        def send(method: str, path: str, **options: object) -> None:
            answer = sdk.request(method, server.url + path, timeout=PATIENCE, **options)  # type: ignore[arg-type]
            assert answer.status_code == 200, answer.text

        for round_of_use in range(3):
            tenant.change(feature, enabled=True, feature_state_value=f"value {round_of_use}")
            before = stream.event_after(before).updated_at
            send("GET", "/api/v1/flags/")
            send("GET", "/api/v1/identities/?identifier=alice")
            traits = [{"trait_key": "round", "trait_value": round_of_use}]
            send("POST", "/api/v1/identities/", json={"identifier": "alice", "traits": traits})
            send("POST", "/api/v1/identities/", json={"identifier": "bob", "traits": traits, "transient": True})
            send("GET", "/api/v1/environment-document/", headers={"X-Environment-Key": keys.server_key})
            send("POST", "/ofrep/v1/evaluate/flags", json={"context": {"targetingKey": "alice"}})
            send("POST", "/ofrep/v1/evaluate/flags/banner", json={"context": {"targetingKey": "alice"}})
        names = sorted(server.get("/threads").json())
    ours = [name for name in names if not OF_LIBRARIES.fullmatch(name)]
    assert len(ours) <= MAX_THREADS, f"{len(ours)} threads of ours: {ours}; all: {names}"
    # The expression for threads of libraries matches none of these.
    assert {"realtime-bus-postgres", "scheduler", "webhooks", "meter"} <= set(ours)
