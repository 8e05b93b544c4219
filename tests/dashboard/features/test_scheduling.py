"""Scheduled changes and proposals from a feature's page."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core.models import ChangeRequest
from segments.models import Segment
from tests.dashboard.features.forms import live_state, state_form, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def utc() -> str:
    """Tomorrow in the format of a datetime-local input."""
    return (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize("name", ["when", "when_utc"])
def test_schedule__time_in_utc__committed_and_nothing_changed_yet(
    name: str, browser: Client, page: str, environment: Environment, feature: Feature, utc: str
) -> None:
    # With JavaScript ``when`` has the local time, and ``when_utc`` the time in UTC.
    times = {"when": utc} if name == "when" else {"when": "1999-01-01T00:00", "when_utc": f"{utc}:00.000Z"}
    form = state_form("number", "9", **{**times, "enabled": "on", "action": "schedule"})
    response = browser.post(page, form, follow=True)
    assert response.redirect_chain == [(page, 303)]
    request = ChangeRequest.objects.get()
    assert request.is_committed
    assert request.due_at is not None
    assert request.due_at.strftime("%Y-%m-%dT%H:%M") == utc
    assert live_state(environment, feature) == (False, None)
    draft = FeatureState.objects.get(change_request=request)
    assert (draft.enabled, draft.feature_state_value.value) == (True, 9)
    content = response.content.decode()
    assert "Waiting to go live" in content
    assert f"change-requests/{request.pk}/" in content


@pytest.mark.parametrize(
    "when, error",
    [
        ("", "Say when"),
        ("2001-01-01T00:00", "has passed"),
        ("tomorrow", "wrong format"),
        ("2001-99-01T00:00", "format"),
    ],
)
def test_schedule__no_future_time__error_at_the_field_and_nothing_created(
    when: str, error: str, browser: Client, page: str
) -> None:
    response = browser.post(page, state_form("text", "kept", when=when, action="schedule"))
    content = response.content.decode()
    assert response.status_code == 400
    assert error in content.split("everybody-when-messages")[-1]
    assert "kept</textarea>" in content
    assert not ChangeRequest.objects.exists()


@pytest.fixture
def environment_with_approvals(environment: Environment) -> Environment:
    """The environment, where one other user has to approve each change."""
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=1)
    return environment


def test_save__approval_required__rejected_and_proposal_form_with_the_input(
    browser: Client, page: str, environment_with_approvals: Environment, feature: Feature, overrides: list[FeatureState]
) -> None:
    segment = FeatureSegment.objects.select_related("segment").get(feature_states=overrides[0]).segment
    content = browser.get(page).content.decode()
    assert 'value="save"' not in content
    assert 'value="propose"' in content
    for path in (page, f"{page}overrides/{segment.pk}/"):
        response = browser.post(path, state_form("text", "kept", enabled="on"))
        content = response.content.decode()
        assert response.status_code == 409
        assert "This environment&#x27;s flags are changed by change requests." in content
        assert "change_requests_enabled" not in content
        assert "kept</textarea>" in content
    for path in (f"overrides/{segment.pk}/toggle/", f"overrides/{segment.pk}/delete/"):
        response = browser.post(f"{page}{path}", {"enabled": "true"}, follow=True)
        assert "flags are changed by change requests" in response.content.decode()
    assert live_state(environment_with_approvals, feature) == (False, None)
    assert FeatureSegment.objects.count() == 3


def test_propose__default_override_and_new_override__change_requests(
    browser: Client,
    page: str,
    base_path: str,
    environment_with_approvals: Environment,
    feature: Feature,
    segments: list[Segment],
    utc: str,
) -> None:
    present = create_override(environment_with_approvals, feature, segments[0], value=text("old"))
    proposal = state_form("text", "new", enabled="on", action="propose", title="Now", description="Because", when=utc)
    for path, chosen in ((page, ""), (f"{page}overrides/{segments[0].pk}/", ""), ("new", str(segments[1].pk))):
        path = f"{page}overrides/new/" if path == "new" else path
        response = browser.post(path, {**proposal, "chosen": chosen})
        request = ChangeRequest.objects.latest("pk")
        assert (response.status_code, response["Location"]) == (303, f"{base_path}change-requests/{request.pk}/")
        assert (request.title, request.description, request.is_committed) == ("Now", "Because", False)
        draft = FeatureState.objects.get(change_request=request)
        assert (draft.enabled, draft.feature_state_value.value) == (True, "new")
        assert draft.live_from is not None
        assert draft.live_from.strftime("%Y-%m-%dT%H:%M") == utc
    assert live_state(environment_with_approvals, feature) == (False, None)
    assert live_state(environment_with_approvals, feature, feature_segment=present.feature_segment) == (False, "old")
    # A second proposal of the new override uses the same feature segment.
    browser.post(f"{page}overrides/new/", {**proposal, "chosen": str(segments[1].pk)})
    assert FeatureSegment.objects.filter(feature=feature).count() == 2
    # A rejected proposal leaves no feature segment behind.
    response = browser.post(f"{page}overrides/new/", {**proposal, "kind": "number", "chosen": str(segments[2].pk)})
    assert response.status_code == 400
    assert FeatureSegment.objects.filter(feature=feature).count() == 2
