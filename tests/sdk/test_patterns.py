"""Conditions with the operator REGEX: they match like Python's ``re``, within a time limit."""

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flag_engine.segments.evaluator import context_matches_condition
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.evaluation import engine_context, patterns

PARTS = st.sampled_from(
    [
        *("a", "b", "é", "ß", ".", r"\d", r"\w", r"\W", r"\s", r"\b", r"\.", r"\1", r"\Z", "^", "$"),
        *("[ab]", "[^a]", "[a-c]", "(?i)", "(a|b)", "(?:ab)", "(?=a)", "(?!a)", "(?P<n>a)", "|", "(", ")"),
        *("*", "+", "?", "{2}", "{1,2}", "*?"),
    ]
)
TEXTS = st.text("abcAB1 .éß\n", max_size=7)


def is_met(pattern: str, trait: object) -> bool:
    context = {"environment": {"key": "k", "name": "n"}, "identity": {"identifier": "i", "traits": {"t": trait}}}
    return context_matches_condition(context, {"operator": "REGEX", "property": "t", "value": pattern}, "1")


@settings(max_examples=300)
@given(pattern=st.lists(PARTS, max_size=6).map("".join), text=TEXTS)
def test_pattern__any_short_text__matches_like_re(pattern: str, text: str) -> None:
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
def test_pattern__exponential_time__interrupted_and_not_met(pattern: str, text: str) -> None:
    started = time.thread_time()
    try:
        with patterns.time_limit(0.1):
            assert not is_met(pattern, text)
    except patterns.TimeLimitExceeded:
        pass
    assert time.thread_time() - started < 1


@pytest.mark.parametrize(
    "pattern", ["(?:a{200}){200}", "(?:(?:(?:a{99}){99}){99}){99}", "((?:ab){150}){150}", "(?=(?:a{200}){200})"]
)
def test_pattern__unbounded_memory__rejected(pattern: str) -> None:
    with pytest.raises(patterns.PatternTooLong):
        patterns.matches(pattern, "a")
    condition = {"operator": "REGEX", "property_": "t", "value": pattern}
    rule = {"type": "ALL", "rules": [], "conditions": [condition]}
    context = engine_context.segment_context({"id": 1, "name": "s", "rules": [rule]}, [])
    assert context["rules"][0]["conditions"] == [engine_context.NEVER_MET]


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
def test_pattern__usual_ones__match(pattern: str, text: str) -> None:
    assert is_met(pattern, text)


@pytest.mark.parametrize("trait, pattern", [(12, "^1"), (True, "True"), (1.5, r"1\.5"), ("12", r"\d+")])
def test_pattern__trait_is_not_a_string__matches_its_text(trait: object, pattern: str) -> None:
    assert is_met(pattern, trait)


def test_patterns__many_of_exponential_time__share_one_limit() -> None:
    started = time.thread_time()
    with patterns.time_limit(0.1):
        assert patterns.matches("^(a|b)", "abc")
        with pytest.raises(patterns.TimeLimitExceeded):
            [patterns.matches(f"(a|aa|{number})+$", "a" * 1_999 + "!") for number in range(500)]
        with pytest.raises(patterns.TimeLimitExceeded):
            patterns.matches("^(a|b)", "abc")
    assert time.thread_time() - started < 1
    assert patterns.matches("^(a|b)", "abc")


def test_patterns__process_suspended_meanwhile__matched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine can suspend a process for seconds."""
    compiled = patterns._compiled

    def slow_compile(pattern: str) -> object:
        time.sleep(0.06)
        return compiled(pattern)

    assert patterns.matches("^(a|b)", "abc")
    monkeypatch.setattr(patterns, "_compiled", slow_compile)
    with patterns.time_limit(0.05):
        assert [patterns.matches("^(a|b)", "abc") for _ in range(3)] == [True] * 3


def test_pattern__other_threads_are_busy__only_its_own_time_counts() -> None:
    """The library's own timeout counts the processor time of all threads."""
    undisturbed_seconds, letters = 0.0, 0
    while undisturbed_seconds < 0.02:
        letters += 1
        started = time.thread_time()
        assert not patterns.matches("(a|aa)+$", "a" * letters + "!")
        undisturbed_seconds = time.thread_time() - started
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            hashlib.sha256(bytes(1_000_000)).digest()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(compute)
        try:
            with patterns.time_limit(4 * undisturbed_seconds):
                assert not patterns.matches("(a|aa)+$", "a" * letters + "!")
        finally:
            ended.set()
