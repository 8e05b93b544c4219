"""The bytes of a frame, which the strictest of the SDKs' parsers must accept."""

import json
import math
import random
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.bus import eventstream
from realtime.delivery import sse
from realtime.types import EPOCH, TICK, epoch_seconds, first_readable

# A double represents every microsecond before the year 2100.
versions = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

FRAME = re.compile(rb'event: environment_updated\ndata: \{"updated_at": \d+\.\d{6}\}\n\n')


def test_frame__example__exact_bytes() -> None:
    moment = datetime(2024, 12, 26, 15, 44, 48, 123457, tzinfo=UTC)
    assert sse.frame(moment) == b'event: environment_updated\ndata: {"updated_at": 1735227888.123457}\n\n'


def test_frame__whole_second__has_a_decimal_point() -> None:
    assert sse.frame(datetime(2024, 12, 26, tzinfo=UTC)).endswith(b'{"updated_at": 1735171200.000000}\n\n')


@given(versions)
def test_frame__any_version__one_event_line_and_one_data_line(moment: datetime) -> None:
    assert FRAME.fullmatch(sse.frame(moment))


@given(versions)
def test_epoch_seconds__any_version__not_rounded(moment: datetime) -> None:
    assert EPOCH + timedelta(microseconds=int(Decimal(epoch_seconds(moment)) * 1_000_000)) == moment


@given(versions)
def test_data__parsed_as_a_double__same_microsecond(moment: datetime) -> None:
    seconds = json.loads(eventstream.data(moment))["updated_at"]
    assert isinstance(seconds, float)
    assert datetime.fromtimestamp(seconds, tz=UTC) == moment


@given(versions)
def test_parse__text_of_data__same_version(moment: datetime) -> None:
    assert eventstream.parse(eventstream.data(moment)) == moment


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "1", '{"updated_at": null}', '{"updated_at": "x"}', "{"])
def test_parse__other_text__value_error(text: str) -> None:
    with pytest.raises(ValueError):
        eventstream.parse(text)


def as_go_reads(frame: bytes) -> int:
    """The version of an event in nanoseconds, as the Go SDK computes it: float64 seconds, split by truncation."""
    number = float(json.loads(frame.split(b"data: ")[1])["updated_at"])
    seconds = math.trunc(number)
    return seconds * 1_000_000_000 + math.trunc((number - seconds) * 1e9)


def nanoseconds(version: datetime) -> int:
    return (version - EPOCH) // TICK * 1_000


def test_first_readable__any_clock__printed_exactly_and_not_parsed_as_newer() -> None:
    """Promise I12, with 100,000 versions."""
    chance = random.Random(12)
    for _ in range(100_000):
        clock = EPOCH + timedelta(microseconds=chance.randrange(4_000_000_000_000_000))
        version = first_readable(clock)
        frame = sse.frame(version)
        assert clock <= version < clock + timedelta(microseconds=20)
        assert eventstream.parse(frame.split(b"data: ")[1].decode()) == version
        assert as_go_reads(frame) <= nanoseconds(version)


def test_frame__version_that_go_parses_as_newer__printed_one_microsecond_lower() -> None:
    chance = random.Random(12)
    lower = 0
    for _ in range(100_000):
        version = EPOCH + timedelta(microseconds=chance.randrange(4_000_000_000_000_000))
        frame = sse.frame(version)
        printed = eventstream.parse(frame.split(b"data: ")[1].decode())
        assert as_go_reads(frame) <= nanoseconds(version)
        assert printed in (version, version - TICK)
        lower += printed != version
    assert 40_000 < lower < 60_000


@given(st.text())
def test_comment__any_text__one_comment_line(text: str) -> None:
    lines = sse.comment(text).decode().split("\n")
    assert lines[0].startswith(":")
    assert lines[1:] == ["", ""]


def test_padding__opening__comment_longer_than_512_bytes() -> None:
    assert sse.PADDING.startswith(b":")
    assert len(sse.PADDING) > 512
