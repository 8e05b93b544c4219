"""``/metrics`` of a real server: authentication and values. The dashboard, alerts and documentation name all metrics,
and only existing ones.
"""

import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest
import yaml

from tests.metrics import scraped
from tests.metrics.scraped import TOKEN, scrape
from tests.support import programs, sse
from tests.support.api import AdminAPI, Tenant
from tests.support.patience import PATIENCE
from tests.support.server import MigratedSQLite, ServerProcess

DASHBOARD = programs.ROOT / "deploy/grafana/flagsmith-realtime.json"
ALERTS = programs.ROOT / "deploy/prometheus/alerts.yml"
PAGE = programs.ROOT / "docs/metrics.md"

NAME = re.compile(r"\b(?:realtime|flagsmith)_[a-z_]+\b")


@pytest.fixture(scope="module")
def server(sqlite_template: MigratedSQLite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    variables = sqlite_template.copy(tmp_path_factory.mktemp("metrics"))
    with ServerProcess({**variables, "REALTIME_METRICS_TOKEN": TOKEN, "REALTIME_REPEAT_SECONDS": "0"}) as server:
        yield server


@pytest.mark.parametrize("authorization", ["", "Bearer", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Bearer \xff"])
def test_metrics__wrong_token__401(server: ServerProcess, authorization: str) -> None:
    status, _, body = scraped.get(server.port, authorization)

    assert (status, json.loads(body)) == (401, {"detail": "Invalid token."})


def test_metrics__accept_openmetrics__returned_in_that_format(server: ServerProcess) -> None:
    status, content_type, body = scraped.get(server.port, accept="application/openmetrics-text; version=1.0.0")

    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_metrics__streams_and_update_and_reads__counted(server: ServerProcess) -> None:
    before = scrape(server.port)
    tenant = Tenant.create(AdminAPI.registered(server.url))
    feature = tenant.add_feature("banner")["id"]
    logged = len(server.process.lines)
    streams = [sse.connect(server.port, tenant.environment.key) for _ in range(5)]
    first = [stream.next_event().updated_at for stream in streams]
    tenant.change(feature, enabled=True)
    for stream, was in zip(streams, first, strict=True):
        stream.event_after(was)
    for _ in range(3):
        assert read(server, tenant.environment.key, "/api/v1/flags/") == 200
    assert read(server, tenant.environment.key, "/api/v1/identities/?identifier=new") == 200
    during = scrape(server.port)
    for stream in streams:
        stream.close()
    server.process.wait_until(lambda: scrape(server.port)["realtime_streams_open"] == 0)

    # At the default level streams, events and reads are not logged.
    assert server.process.lines[logged:] == []

    def rise(*name: str) -> float:
        return during[name] - before[name]

    assert during["realtime_streams_open"] == during["flagsmith_sse_subscribers_active"] == 5
    assert rise("realtime_streams_opened_total") == rise("flagsmith_sse_subscribers_total") == 5
    assert rise("realtime_events_delivered_total") == rise("realtime_propagation_seconds_count") == 5
    assert 0 < rise("realtime_propagation_seconds_sum") < 5 * 10
    assert rise("realtime_propagation_seconds_bucket", "+Inf") == 5
    assert rise("realtime_events_published_total") >= 1
    assert rise("realtime_reads_total", "flags") == 3
    # The new identity had to be stored.
    assert rise("realtime_reads_left_to_django_total", "identities") == 1
    assert rise("realtime_refetches_total") == 3
    assert rise("flagsmith_environment_document_cache_queries_total", "miss") == 1
    assert rise("flagsmith_environment_document_cache_queries_total", "hit") >= 2
    assert during["realtime_bus_connected", "memory"] == during["realtime_processes"] == 1
    assert [during[name] for name in ("realtime_wedged", "realtime_draining", "realtime_streams_held")] == [0, 0, 0]


def test_dashboard_alerts_and_page__metrics__same_as_in_a_scrape(server: ServerProcess) -> None:
    found = scrape(server.port)
    names = {name for name, *_ in found.samples} | set(found.families)
    dashboard = json.loads(DASHBOARD.read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    # tests/relay/test_metrics.py compares those of the relay.
    page = re.sub(r"\brealtime_relay_[a-z_]+", "", PAGE.read_text())

    assert named(*shown) - names == set()
    assert named(*(rule["expr"] for rule in rules)) - names == set()
    assert named(page) - names == set()
    # Conversely, every metric is in the dashboard and on the page.
    assert {family for family in found.families if not is_named(family, named(*shown))} == set()
    assert {family for family in found.families if not is_named(family, named(page))} == set()


def test_alerts__every_alert__documented(server: ServerProcess) -> None:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    page = PAGE.read_text()

    assert rules
    for rule in rules:
        assert f"| `{rule['alert']}` |" in page, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("page", "ticket")


def named(*texts: str) -> set[str]:
    return {name for text in texts for name in NAME.findall(text)}


def is_named(family: str, names: set[str]) -> bool:
    return any(f"{family}{suffix}" in names for suffix in ("", "_total", "_bucket", "_count"))


def read(server: ServerProcess, key: str, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"X-Environment-Key": key})
        return connection.getresponse().status
    finally:
        connection.close()
