"""Segment overrides of a feature, and their order."""

from typing import Any

import pytest
from django.test import Client

from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureSegment, FeatureState
from features.workflows.core.models import ChangeRequest
from segments.models import Segment
from tests.dashboard.features.forms import live_state, override_order, state_form

pytestmark = pytest.mark.django_db


def test_override__added_changed_toggled_removed(
    browser: Client, page: str, environment: Environment, feature: Feature, segments: list[Segment]
) -> None:
    segment = segments[0]

    def override() -> tuple[bool, Any]:
        return live_state(environment, feature, feature_segment=FeatureSegment.objects.get(segment=segment))

    assert "first" in browser.get(f"{page}overrides/new/").content.decode()
    response = browser.post(f"{page}overrides/new/", state_form("number", "5", enabled="on", chosen=str(segment.pk)))
    assert (response.status_code, response["Location"], override()) == (303, page, (True, 5))
    content = browser.get(f"{page}overrides/{segment.pk}/").content.decode()
    assert f'id="segment-{segment.pk}-value"' in content
    browser.post(f"{page}overrides/{segment.pk}/", state_form("text", "5", enabled="on"))
    assert override() == (True, "5")
    browser.post(f"{page}overrides/{segment.pk}/toggle/", {"enabled": "false"})
    assert override() == (False, "5")
    assert "Remove the override for first?" in browser.get(f"{page}overrides/{segment.pk}/delete/").content.decode()
    browser.post(f"{page}overrides/{segment.pk}/delete/")
    assert not FeatureSegment.objects.filter(feature=feature).exists()
    for path in (f"overrides/{segment.pk}/", f"overrides/{segment.pk}/delete/", f"overrides/{segment.pk}/toggle/"):
        assert browser.post(f"{page}{path}", state_form()).status_code == 404


def test_override__second_one__added_as_the_last(
    browser: Client, page: str, feature: Feature, segments: list[Segment]
) -> None:
    for segment in segments:
        response = browser.post(f"{page}overrides/new/", state_form("text", "a", chosen=str(segment.pk)), follow=True)
        assert "The override is added, as the last one." in response.content.decode()
    assert override_order(feature) == ["first", "second", "third"]


@pytest.mark.parametrize("chosen", ["", "x", "999999", "99999999999999999999"])
def test_override__no_segment_of_the_project__error_at_the_field(
    chosen: str, browser: Client, page: str, segments: list[Segment]
) -> None:
    response = browser.post(f"{page}overrides/new/", state_form("text", "kept", chosen=chosen))
    content = response.content.decode()
    assert response.status_code == 400
    assert "new-chosen-wrong" in content
    assert "kept</textarea>" in content
    assert not FeatureSegment.objects.exists()


def test_order__by_buttons_and_as_dragged__priorities_saved(
    browser: Client, page: str, feature: Feature, overrides: list[FeatureState], segments: list[Segment]
) -> None:
    first, second, third = (each.feature_segment_id for each in overrides)
    response = browser.post(f"{page}overrides/order/", {"feature_segment": third, "move": "up"}, follow=True)
    assert override_order(feature) == ["first", "third", "second"]
    assert "third is now number 2." in response.content.decode()
    browser.post(f"{page}overrides/order/", {"feature_segment": first, "move": "down"})
    assert override_order(feature) == ["third", "first", "second"]
    # The first and the last override stay at the ends of the list.
    browser.post(f"{page}overrides/order/", {"feature_segment": third, "move": "up"})
    browser.post(f"{page}overrides/order/", {"feature_segment": second, "move": "down"})
    assert override_order(feature) == ["third", "first", "second"]
    browser.post(f"{page}overrides/order/", {"order": f"{second},{first},{third}"})
    assert override_order(feature) == ["second", "first", "third"]
    assert browser.post(f"{page}overrides/order/", {"feature_segment": "x", "move": "up"}).status_code == 404
    for invalid in ("1,x", f"{first},999999", ","):
        response = browser.post(f"{page}overrides/order/", {"order": invalid}, follow=True)
        assert 'class="message error"' in response.content.decode()
    assert override_order(feature) == ["second", "first", "third"]


def test_order__feature_segment_without_a_state__skipped(
    browser: Client, page: str, environment: Environment, feature: Feature, segments: list[Segment]
) -> None:
    create_override(environment, feature, segments[0])
    FeatureSegment.objects.create(environment=environment, feature=feature, segment=segments[1], priority=1)
    last = create_override(environment, feature, segments[2])
    browser.post(f"{page}overrides/order/", {"feature_segment": last.feature_segment_id, "move": "up"})
    assert override_order(feature) == ["third", "first", "second"]


@pytest.mark.parametrize("approvals", [0, None])
def test_propose__approvals_turned_off_meanwhile__proposed(
    approvals: int | None,
    browser: Client,
    page: str,
    environment: Environment,
    feature: Feature,
    overrides: list[FeatureState],
    segments: list[Segment],
) -> None:
    """``approvals``: the environment's setting when the form is submitted."""
    Environment.objects.filter(pk=environment.pk).update(minimum_change_request_approvals=approvals)
    removal, order = f"{page}overrides/{segments[0].pk}/delete/", f"{page}overrides/order/"
    late = {"action": "propose", "when": "2001-01-01T00:00"}
    for path in (removal, order):
        response = browser.post(path, late)
        assert response.status_code == 400
        assert "Nothing was proposed. This time has passed." in response.content.decode()
    places = {f"place-{each.pk}": str(3 - place) for place, each in enumerate(segments)}
    for number, path in enumerate((removal, order), 1):
        response = browser.post(path, {"action": "propose", **places}, follow=True)
        assert "Proposed. It changes nothing until it is committed." in response.content.decode()
        assert ChangeRequest.objects.count() == number
    assert override_order(feature) == ["first", "second", "third"]
