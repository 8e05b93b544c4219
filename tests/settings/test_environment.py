"""Settings from environment variables."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from realtime.serving import environment
from settings.dev import installation_key
from tests.support.programs import ROOT
from tests.support.server import environ
from users.throttles import LoginThrottle


@pytest.mark.parametrize(("text", "number"), [("0.5", 0.5), (" 30 ", 30.0)])
def test_seconds__number_above_zero__read(text: str, number: float) -> None:
    assert environment.seconds("X", 7, environ={"X": text}) == number
    assert environment.seconds("X", 7, environ={}) == 7


@pytest.mark.parametrize("text", ["", "0", "0.0", "-1", "1e3", "half", "inf"])
def test_seconds__other_text_or_zero__error_names_the_variable(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X must be a number of seconds above 0"):
        environment.seconds("X", 7, environ={"X": text})


@pytest.mark.parametrize("text", ["1", "true", "True", "YES", " on "])
def test_flag__true_words__true(text: str) -> None:
    assert environment.flag("X", environ={"X": text}) is True


@pytest.mark.parametrize("text", ["0", "false", "False", "NO", "off", ""])
def test_flag__false_words__false(text: str) -> None:
    assert environment.flag("X", default=True, environ={"X": text}) is False


def test_flag__missing__default() -> None:
    assert environment.flag("X", default=True, environ={}) is True


def test_flag__other_word__error_names_the_variable() -> None:
    with pytest.raises(ImproperlyConfigured, match="X must be true or false, not 'maybe'"):
        environment.flag("X", environ={"X": "maybe"})


@given(st.lists(st.text(alphabet="abc.*-", min_size=1)))
def test_names__any_words_with_spaces_around__come_back(words: list[str]) -> None:
    assert environment.names("X", environ={"X": " , ".join(words)}) == words


def test_cors__extra_headers__allowed_with_the_others() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", "from settings import base; print(*base.CORS_ALLOW_HEADERS)"],
        cwd=ROOT,
        env=environ(FLAGSMITH_CORS_EXTRA_ALLOW_HEADERS="X-Datadog-Trace-Id, x-b3"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert {"x-datadog-trace-id", "x-b3", "x-environment-key", "traceparent"} <= set(printed)


@pytest.mark.parametrize("environ", [{}, {"X": ""}, {"X": "  "}])
def test_required__missing_or_empty__error_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="X must be set"):
        environment.required("X", environ)


@pytest.mark.parametrize(("text", "number"), [("20", 20), (" 1 ", 1), ("0", 0)])
def test_integer__allowed_number__read(text: str, number: int) -> None:
    assert environment.integer("X", 7, minimum=0, environ={"X": text}) == number
    assert environment.integer("X", 7, environ={}) == 7


@pytest.mark.parametrize("text", ["", "many", "-1", "0", "1.5", "1_000", "\u0663", "9" * 5000])
def test_integer__other_text_or_too_small__error_names_the_variable(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X must be a whole number, 1 or more"):
        environment.integer("X", 7, environ={"X": text})


@pytest.mark.parametrize(
    "text, seconds", [("20/min", 60), ("5/day", 86400), ("1/s", 1), ("60/hour", 3600), ("60/m", 60), ("10/15min", 900)]
)
def test_rate__calls_in_a_time__unchanged_and_understood_by_throttles(text: str, seconds: int) -> None:
    assert environment.rate("X", "5/min", environ={"X": text}) == text
    assert LoginThrottle().parse_rate(text) == (int(text.partition("/")[0]), seconds)


@pytest.mark.parametrize(
    "text", ["", "often", "20", "20/", "/min", "20/year", "-1/min", "1.5/min", "20/min/min", "20/0min", "20/15"]
)
def test_rate__anything_else__error_names_the_variable(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="X must be a rate of calls such as 5/min, not"):
        environment.rate("X", "5/min", environ={"X": text})


def test_prefixed__several_variables__only_those_with_the_prefix() -> None:
    assert environment.prefixed("REALTIME_", {"REALTIME_A": "1", "OTHER": "2"}) == {"REALTIME_A": "1"}


def test_installation_key__first_use__created_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret_key"

    key = installation_key(path)

    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert installation_key(path) == key


def test_installation_key__concurrent_first_uses__one_key(tmp_path: Path) -> None:
    for number in range(50):
        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(installation_key, [tmp_path / f"{number}"] * 8))) == 1
