"""The page "Why is it on?": the flags of an identity or a set of traits, each with the rule that gave it."""

from collections.abc import Callable

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature
from segments.models import Segment
from tests.identities.test_evaluate import add_segment_override
from tests.identities.test_overrides import override

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(base_path: str) -> str:
    return f"{base_path}why/"


def shown(response: object) -> str:
    """The page's text with single spaces."""
    return " ".join(response.content.decode().split())  # type: ignore[attr-defined]


def test_why__segment_override__named_with_the_overrides_that_were_not_used(
    browser: Client, path: str, environment: Environment, feature: Feature, segment: Segment
) -> None:
    other = Segment.objects.create(name="nobody", project=environment.project)
    add_segment_override(environment, feature, other, 0, "never")
    add_segment_override(environment, feature, segment, 1, "for pro")
    page = shown(browser.post(path, {"identifier": "u1", "traits": "plan=pro"}))
    assert f'Override for the segment <a href="/projects/{environment.project_id}/segments/{segment.pk}/">' in page
    assert "for pro" in page
    assert "nobody</a> does not match" in page
    assert "Development has no such identity yet" in page
    page = shown(browser.post(path, {"traits": '{"plan": "free"}'}))
    assert "Default of Development" in page
    assert "Without an identifier" in page


def test_why__identity_override__takes_precedence_over_its_segment(
    browser: Client, path: str, environment: Environment, feature: Feature, segment: Segment
) -> None:
    identity = Identity.objects.create(environment=environment, identifier="u1")
    Trait.objects.create(identity=identity, trait_key="plan", string_value="pro")
    add_segment_override(environment, feature, segment, 0, "for pro")
    override(identity, feature, "own")
    page = shown(browser.post(path, {"identifier": "u1"}))
    assert "Override of this identity" in page
    assert "matches, but its own override takes precedence" in page
    assert "Evaluated with 1 stored trait," in page


def test_why__viewer__not_the_stored_traits(
    viewer: Client, path: str, environment: Environment, feature: Feature, segment: Segment
) -> None:
    identity = Identity.objects.create(environment=environment, identifier="u1")
    Trait.objects.create(identity=identity, trait_key="plan", string_value="pro")
    add_segment_override(environment, feature, segment, 0, "for pro")
    page = shown(viewer.post(path, {"identifier": "u1"}))
    assert "for pro" not in page
    assert "needs the permission VIEW_IDENTITIES" in page


def test_why__part_of_a_feature_name__only_those_flags(
    browser: Client, path: str, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    for name in ("banner", "checkout"):
        make_feature(name)
    page = shown(browser.post(path, {"identifier": "u1", "feature": "BANN"}))
    assert ">banner</a>" in page
    assert ">checkout</a>" not in page
    assert 'value="checkout"' in shown(browser.get(f"{path}?feature=checkout"))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "Type an identifier, traits, or both."),
        ({"traits": "plan"}, "Line 1 is neither"),
        ({"traits": "{"}, "This is no JSON"),
        ({"identifier": "x" * 2_001}, "no more than 2000 characters"),
        ({"identifier": "u1", "traits": "a=" + "x" * 2_001}, "traits-hint"),
    ],
)
def test_why__bad_input__400_with_the_message_and_the_input(
    browser: Client, path: str, form: dict[str, str], message: str
) -> None:
    response = browser.post(path, form)
    assert response.status_code == 400
    assert message in shown(response)
    assert "flags of" not in shown(response)
