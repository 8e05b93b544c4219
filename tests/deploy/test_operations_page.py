"""Settings, metrics and tests that docs/operations.md names exist."""

import re

from tests.faults.faults import FAULTS
from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()

ROWS = [
    line.split("|")[1:-1]
    for line in PAGE.partition("## When something breaks")[2].splitlines()
    if line[:3] == "| `" or re.match(r"\| \w", line)
]


def test_faults__of_the_tests__are_the_rows_of_the_page() -> None:
    named = [row[-1].strip() for row in ROWS[1:]]
    assert {name.removeprefix("`tests/faults`: ") for name in named if name.startswith("`tests/faults`: ")} == {
        fault.name for fault in FAULTS
    }
    for name in named:
        if "::" in name:
            file, _, test = name.strip("`").partition("::")
            assert f"def {test}(" in (ROOT / file).read_text(), name


def test_names__of_settings_and_metrics__exist() -> None:
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    settings = (ROOT / "docs" / "settings.md").read_text() + (ROOT / "realtime" / "conf.py").read_text()
    for name in re.findall(r"`(realtime_\w+)", PAGE):
        assert f"`{name}`" in metrics, name
    for name in re.findall(r"`REALTIME_(\w+)", PAGE):
        assert name in settings, name
