"""What is to happen to a feature later, or once others have approved it."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core.models import ChangeRequest
from segments.models import Segment
from tests.dashboard.features.forms import form, said, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def utc() -> str:
    """Tomorrow, as a field for a time has it."""
    return (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize("name", ["when", "when_utc"])
def test_schedule__time_in_utc__committed_and_nothing_changed_yet(
    name: str, browser: Client, page: str, environment: Environment, feature: Feature, utc: str
) -> None:
    # With a script the field has the time of the browser's place, and the other one what it is in UTC.
    times = {"when": utc} if name == "when" else {"when": "1999-01-01T00:00", "when_utc": f"{utc}:00.000Z"}
    sent = form("number", "9", **{**times, "enabled": "on", "action": "schedule"})
    answer = browser.post(page, sent, follow=True)
    assert answer.redirect_chain == [(page, 303)]
    request = ChangeRequest.objects.get()
    assert request.is_committed
    assert request.due_at is not None
    assert request.due_at.strftime("%Y-%m-%dT%H:%M") == utc
    assert said(environment, feature) == (False, None)
    draft = FeatureState.objects.get(change_request=request)
    assert (draft.enabled, draft.feature_state_value.value) == (True, 9)
    content = answer.content.decode()
    assert "Waiting to go live" in content
    assert f"change-requests/{request.pk}/" in content


@pytest.mark.parametrize(
    "when, sentence",
    [
        ("", "Say when"),
        ("2001-01-01T00:00", "has passed"),
        ("tomorrow", "wrong format"),
        ("2001-99-01T00:00", "format"),
    ],
)
def test_schedule__no_time_that_is_to_come__said_beside_it_and_nothing_made(
    when: str, sentence: str, browser: Client, page: str
) -> None:
    answer = browser.post(page, form("text", "kept", when=when, action="schedule"))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in content.split("everybody-when-messages")[-1]
    assert "kept</textarea>" in content
    assert not ChangeRequest.objects.exists()


@pytest.fixture
def guarded(environment: Environment) -> Environment:
    """The environment, where somebody else has to approve each change."""
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=1)
    return environment


def test_save__where_others_approve__refused_and_proposal_offered_with_what_was_typed(
    browser: Client, page: str, guarded: Environment, feature: Feature, overrides: list[FeatureState]
) -> None:
    segment = FeatureSegment.objects.select_related("segment").get(feature_states=overrides[0]).segment
    content = browser.get(page).content.decode()
    assert 'value="save"' not in content
    assert 'value="propose"' in content
    for path in (page, f"{page}overrides/{segment.pk}/"):
        answer = browser.post(path, form("text", "kept", enabled="on"))
        content = answer.content.decode()
        assert answer.status_code == 409
        assert "This environment&#x27;s flags are changed by change requests." in content
        assert "change_requests_enabled" not in content
        assert "kept</textarea>" in content
    for path in (f"overrides/{segment.pk}/toggle/", f"overrides/{segment.pk}/delete/"):
        answer = browser.post(f"{page}{path}", {"enabled": "true"}, follow=True)
        assert "flags are changed by change requests" in answer.content.decode()
    assert said(guarded, feature) == (False, None)
    assert FeatureSegment.objects.count() == 3


def test_propose__everybody_a_segment_and_a_new_one__requests_of_that(
    browser: Client,
    page: str,
    place: str,
    guarded: Environment,
    feature: Feature,
    segments: list[Segment],
    utc: str,
) -> None:
    present = create_override(guarded, feature, segments[0], value=text("old"))
    wanted = form("text", "new", enabled="on", action="propose", title="Now", description="Because", when=utc)
    for path, chosen in ((page, ""), (f"{page}overrides/{segments[0].pk}/", ""), ("new", str(segments[1].pk))):
        path = f"{page}overrides/new/" if path == "new" else path
        answer = browser.post(path, {**wanted, "chosen": chosen})
        request = ChangeRequest.objects.latest("pk")
        assert (answer.status_code, answer["Location"]) == (303, f"{place}change-requests/{request.pk}/")
        assert (request.title, request.description, request.is_committed) == ("Now", "Because", False)
        draft = FeatureState.objects.get(change_request=request)
        assert (draft.enabled, draft.feature_state_value.value) == (True, "new")
        assert draft.live_from is not None
        assert draft.live_from.strftime("%Y-%m-%dT%H:%M") == utc
    assert said(guarded, feature) == (False, None)
    assert said(guarded, feature, feature_segment=present.feature_segment) == (False, "old")
    # Proposed twice, a new override has one place.
    browser.post(f"{page}overrides/new/", {**wanted, "chosen": str(segments[1].pk)})
    assert FeatureSegment.objects.filter(feature=feature).count() == 2
    # What is refused leaves no place behind.
    answer = browser.post(f"{page}overrides/new/", {**wanted, "kind": "number", "chosen": str(segments[2].pk)})
    assert answer.status_code == 400
    assert FeatureSegment.objects.filter(feature=feature).count() == 2
