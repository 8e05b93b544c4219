"""docs/security.md names tests, all of which exist."""

import re

from tests.support.programs import ROOT

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_security_page__every_test_it_names__exists() -> None:
    named = NAMED.findall((ROOT / "docs/security.md").read_text())

    assert len(named) > 25
    assert [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []
