"""The contract of prometheus-client's part that ``realtime/compat/prometheus_client.py`` uses."""

import pytest
from prometheus_client import CollectorRegistry

from realtime.compat.prometheus_client import choose_encoder


@pytest.mark.parametrize(
    "accept, content_type, body",
    [("", "text/plain", b""), ("application/openmetrics-text", "application/openmetrics-text", b"# EOF\n")],
)
def test_choose_encoder__header_accept__function_and_content_type(accept: str, content_type: str, body: bytes) -> None:
    encode, chosen = choose_encoder(accept)
    assert chosen.startswith(content_type)
    assert encode(CollectorRegistry()) == body
