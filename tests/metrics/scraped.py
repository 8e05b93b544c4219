"""Reads and parses ``/metrics``, as Prometheus does."""

from http.client import HTTPConnection

from prometheus_client.parser import text_string_to_metric_families

from tests.support.patience import PATIENCE

TOKEN = "token-of-the-tests"


class Scrape:
    """Samples by name, and by their label's value: ``scrape["realtime_reads_total", "flags"]``."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __getitem__(self, name: str | tuple[str, ...]) -> float:
        return self.samples[(name,) if isinstance(name, str) else name]

    @property
    def counters(self) -> dict[tuple[str, ...], float]:
        """The samples of counters and histograms, which must never decrease."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.families.values()
            if family.type in ("counter", "histogram")
            for sample in family.samples
        }


def get(port: int, authorization: str = f"Bearer {TOKEN}", accept: str = "") -> tuple[int, str, str]:
    """The status, the content type and the body of ``/metrics`` of a server on this port."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": authorization, "Accept": accept})
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def scrape(port: int) -> Scrape:
    status, _, body = get(port)
    assert status == 200, body
    return Scrape(body)
