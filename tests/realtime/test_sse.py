"""The frame, byte by byte: what the narrowest of six parsers accepts."""

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

# As far as SDKs count: a double holds the microseconds of any time before the year 2100 exactly enough.
versions = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

FRAME = re.compile(rb'event: environment_updated\ndata: \{"updated_at": \d+\.\d{6}\}\n\n')


def test_frame__known_time__these_bytes() -> None:
    moment = datetime(2024, 12, 26, 15, 44, 48, 123457, tzinfo=UTC)
    assert sse.frame(moment) == b'event: environment_updated\ndata: {"updated_at": 1735227888.123457}\n\n'


def test_frame__whole_second__still_has_a_decimal_point() -> None:
    assert sse.frame(datetime(2024, 12, 26, tzinfo=UTC)).endswith(b'{"updated_at": 1735171200.000000}\n\n')


@given(versions)
def test_frame__any_time__one_event_line_one_data_line(moment: datetime) -> None:
    assert FRAME.fullmatch(sse.frame(moment))


@given(versions)
def test_epoch_seconds__any_time__is_never_rounded(moment: datetime) -> None:
    assert EPOCH + timedelta(microseconds=int(Decimal(epoch_seconds(moment)) * 1_000_000)) == moment


@given(versions)
def test_data__read_as_a_double__is_the_same_microsecond(moment: datetime) -> None:
    seconds = json.loads(eventstream.data(moment))["updated_at"]
    assert isinstance(seconds, float)
    assert datetime.fromtimestamp(seconds, tz=UTC) == moment


@given(versions)
def test_parse__what_data_wrote__the_same_time(moment: datetime) -> None:
    assert eventstream.parse(eventstream.data(moment)) == moment


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "1", '{"updated_at": null}', '{"updated_at": "x"}', "{"])
def test_parse__anything_else__value_error(text: str) -> None:
    with pytest.raises(ValueError):
        eventstream.parse(text)


def as_go_reads(frame: bytes) -> int:
    """The version of an event in nanoseconds, as the Go SDK computes it: float64 seconds, split by truncation."""
    number = float(json.loads(frame.split(b"data: ")[1])["updated_at"])
    seconds = math.trunc(number)
    return seconds * 1_000_000_000 + math.trunc((number - seconds) * 1e9)


def nanoseconds(version: datetime) -> int:
    return (version - EPOCH) // TICK * 1_000


def test_version__chosen_here__is_printed_exactly_and_no_sdk_reads_it_as_newer() -> None:
    """Promise I12, of 100,000 versions."""
    chance = random.Random(12)
    for _ in range(100_000):
        clock = EPOCH + timedelta(microseconds=chance.randrange(4_000_000_000_000_000))
        version = first_readable(clock)
        frame = sse.frame(version)
        assert clock <= version < clock + timedelta(microseconds=20)
        assert eventstream.parse(frame.split(b"data: ")[1].decode()) == version
        assert as_go_reads(frame) <= nanoseconds(version)


def test_version__chosen_by_a_flagsmith__is_printed_a_microsecond_lower_where_go_would_read_it_as_newer() -> None:
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
def test_comment__any_text__stays_one_comment(text: str) -> None:
    lines = sse.comment(text).decode().split("\n")
    assert lines[0].startswith(":")
    assert lines[1:] == ["", ""]


def test_padding__opening__holds_512_bytes_of_comment() -> None:
    assert sse.PADDING.startswith(b":")
    assert len(sse.PADDING) > 512
