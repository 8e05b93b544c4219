"""Conditions of the operator REGEX: what Python's own library finds, but never for long."""

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flag_engine.segments.evaluator import context_matches_condition
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import engine
from segments import patterns

PARTS = st.sampled_from(
    [
        *("a", "b", "é", "ß", ".", r"\d", r"\w", r"\W", r"\s", r"\b", r"\.", r"\1", r"\Z", "^", "$"),
        *("[ab]", "[^a]", "[a-c]", "(?i)", "(a|b)", "(?:ab)", "(?=a)", "(?!a)", "(?P<n>a)", "|", "(", ")"),
        *("*", "+", "?", "{2}", "{1,2}", "*?"),
    ]
)
TEXTS = st.text("abcAB1 .éß\n", max_size=7)


def met(pattern: str, trait: object) -> bool:
    context = {"environment": {"key": "k", "name": "n"}, "identity": {"identifier": "i", "traits": {"t": trait}}}
    return context_matches_condition(context, {"operator": "REGEX", "property": "t", "value": pattern}, "1")


@settings(max_examples=300)
@given(pattern=st.lists(PARTS, max_size=6).map("".join), text=TEXTS)
def test_pattern__any_short_text__matches_as_in_pythons_library(pattern: str, text: str) -> None:
    try:
        expected = re.match(pattern, text) is not None
    except re.error:
        with pytest.raises(re.error):
            patterns.matches(pattern, text)
    else:
        assert patterns.matches(pattern, text) == expected


@pytest.mark.parametrize(
    "pattern, text",
    [
        ("(a+)+$", "a" * 1_999 + "!"),
        ("(x+x+)+y", "x" * 2_000),
        (r"^(\w+\s?)*$", "word " * 399 + "!"),
        ("(a|aa)+$", "a" * 1_999 + "!"),
        ("(.*)*x", "a" * 2_000),
        (".*.*.*.*.*=", "a" * 2_000),
        ("(a?){40}a{40}", "a" * 39 + "!"),
    ],
)
def test_pattern__that_would_take_for_ever__is_interrupted_and_never_met(pattern: str, text: str) -> None:
    started = time.thread_time()
    try:
        with patterns.time_limit(0.1):
            assert not met(pattern, text)
    except patterns.TimeLimitExceeded:
        pass
    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    "pattern", ["(?:a{200}){200}", "(?:(?:(?:a{99}){99}){99}){99}", "((?:ab){150}){150}", "(?=(?:a{200}){200})"]
)
def test_pattern__that_would_take_all_memory__cannot_be_evaluated(pattern: str) -> None:
    with pytest.raises(patterns.PatternTooLong):
        patterns.matches(pattern, "a")
    condition = {"operator": "REGEX", "property_": "t", "value": pattern}
    rule = {"type": "ALL", "rules": [], "conditions": [condition]}
    context = engine.segment_context({"id": 1, "name": "s", "rules": [rule]}, [])
    assert context["rules"][0]["conditions"] == [engine.NEVER]


@pytest.mark.parametrize(
    "pattern, text",
    [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "12345678-1234-1234-1234-123456789abc"),
        (r"^[\w.+-]{1,64}@[\w-]{1,255}(\.[a-z]{2,63})+$", "ada.lovelace+1@example.co.uk"),
        (r"^(\d{1,3}\.){3}\d{1,3}$", "192.0.2.17"),
        (r"a{2000}", "a" * 2_000),
        (r"^(?!test).*$", "production"),
    ],
)
def test_pattern__as_people_write_them__matches(pattern: str, text: str) -> None:
    assert met(pattern, text)


@pytest.mark.parametrize("trait, pattern", [(12, "^1"), (True, "True"), (1.5, r"1\.5"), ("12", r"\d+")])
def test_pattern__trait_that_is_no_text__matches_its_text(trait: object, pattern: str) -> None:
    assert met(pattern, trait)


def test_patterns__many_that_take_for_ever__share_the_time_and_then_none_is_tried() -> None:
    started = time.thread_time()
    with patterns.time_limit(0.1):
        assert patterns.matches("^(a|b)", "abc")
        with pytest.raises(patterns.TimeLimitExceeded):
            [patterns.matches(f"(a|aa|{number})+$", "a" * 1_999 + "!") for number in range(500)]
        with pytest.raises(patterns.TimeLimitExceeded):
            patterns.matches("^(a|b)", "abc")
    assert time.thread_time() - started < 1
    assert patterns.matches("^(a|b)", "abc")


def test_patterns__process_held_up_meanwhile__are_matched_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine seconds go by in which nothing of the process runs."""
    compiled = patterns._compiled

    def held_up(pattern: str) -> object:
        time.sleep(0.06)
        return compiled(pattern)

    assert patterns.matches("^(a|b)", "abc")
    monkeypatch.setattr(patterns, "_compiled", held_up)
    with patterns.time_limit(0.05):
        assert [patterns.matches("^(a|b)", "abc") for _ in range(3)] == [True] * 3


def test_pattern__other_threads_compute_meanwhile__has_the_time_of_its_own_thread() -> None:
    """The library's clock counts them, and would be over at once."""
    alone, letters = 0.0, 0
    while alone < 0.02:
        letters += 1
        started = time.thread_time()
        assert not patterns.matches("(a|aa)+$", "a" * letters + "!")
        alone = time.thread_time() - started
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            hashlib.sha256(bytes(1_000_000)).digest()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(compute)
        try:
            with patterns.time_limit(4 * alone):
                assert not patterns.matches("(a|aa)+$", "a" * letters + "!")
        finally:
            over.set()
