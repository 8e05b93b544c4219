"""All pages of a feature: what they show as text, who may do what, and how much they ask the database."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.services import add_option
from projects.models import Project
from projects.tags.models import Tag
from segments.models import Segment
from tests.dashboard.features.forms import form, text
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

NASTY = "<script>alert(1)</script>\"'&"


def test_page__html_everywhere__shown_as_text(
    browser: Client,
    place: str,
    project: Project,
    environment: Environment,
    make_feature: Callable[..., Feature],
) -> None:
    Environment.objects.filter(pk=environment.pk).update(name=NASTY)
    feature = make_feature(NASTY, initial_value=NASTY, description=NASTY)
    feature.tags.add(Tag.objects.create(label=NASTY, project=project))
    segment = Segment.objects.create(name=NASTY, project=project)
    create_override(environment, feature, segment, value=text(NASTY))
    identity = Identity.objects.create(environment=environment, identifier=NASTY)
    FeatureState.objects.create(environment=environment, feature=feature, identity=identity)
    option = add_option(feature, type="unicode", string_value=NASTY, default_percentage_allocation=10.0)
    below = f"{place}features/{feature.pk}/"
    paths = (
        "",
        "overrides/new/",
        f"overrides/{segment.pk}/",
        f"overrides/{segment.pk}/delete/",
        "identities/",
        f"identities/{identity.pk}/",
        "variations/",
        f"variations/{option.pk}/",
        f"variations/{option.pk}/delete/",
        "settings/",
    )
    for path in paths:
        answer = browser.get(f"{below}{path}")
        assert answer.status_code == 200, path
        assert b"<script>alert" not in answer.content, path
        assert b"&lt;script&gt;" in answer.content, path


def test_elsewhere__state_of_those_environments_alone_that_one_may_see(
    viewer: Client, browser: Client, page: str, production: Environment, feature: Feature
) -> None:
    # The feature is older than the environment here: it has no state there yet.
    state = FeatureState.objects.create(environment=production, feature=feature, enabled=True)
    assert f"{production.api_key}/features/{feature.pk}/" in browser.get(page).content.decode()
    assert production.api_key not in viewer.get(page).content.decode()
    assert state.enabled


def forms(
    page: str, segment: Segment, identity: Identity, option: Any, user: FFAdminUser
) -> Iterator[tuple[str, dict[str, str]]]:
    """Every form of the feature's pages, with something that would change."""
    new, identified = form(chosen=str(segment.pk)), form(chosen="somebody")
    later = form(action="schedule", when="2999-01-01T00:00", enabled="on")
    yield page, form(enabled="on")
    yield page, later
    yield f"{page}overrides/new/", new
    yield f"{page}overrides/{segment.pk}/", form(enabled="on")
    yield f"{page}overrides/{segment.pk}/", later
    yield f"{page}overrides/{segment.pk}/toggle/", {"enabled": "true"}
    yield f"{page}overrides/{segment.pk}/delete/", {}
    yield f"{page}overrides/order/", {"order": str(FeatureSegment.objects.get().pk)}
    yield f"{page}identities/new/", identified
    yield f"{page}identities/{identity.pk}/", form(enabled="on")
    yield f"{page}identities/{identity.pk}/toggle/", {"enabled": "true"}
    yield f"{page}identities/{identity.pk}/delete/", {}
    yield f"{page}variations/new/", {"kind": "text", "value": "c", "weight": "1"}
    yield f"{page}variations/{option.pk}/", {"kind": "text", "value": "c", "weight": "1"}
    yield f"{page}variations/{option.pk}/delete/", {}
    yield f"{page}settings/", {"description": "other"}
    yield f"{page}settings/owners/", {"action": "add", "user": str(user.pk)}


def test_forms__who_may_only_look_and_who_is_a_stranger__nothing_changes(
    viewer: Client,
    stranger: Client,
    page: str,
    environment: Environment,
    feature: Feature,
    segment: Segment,
    options: list[Any],
    user: FFAdminUser,
) -> None:
    create_override(environment, feature, segment)
    identity = Identity.objects.create(environment=environment, identifier="ada")
    FeatureState.objects.create(environment=environment, feature=feature, identity=identity)
    states = list(FeatureState.objects.values())
    before = Environment.objects.get(pk=environment.pk).revision
    for path, body in forms(page, segment, identity, options[0], user):
        assert stranger.post(path, body).status_code == 404, path
        answer = viewer.post(path, body, follow=True)
        refusal = "You do not have permission to perform this action."
        assert refusal in answer.content.decode(), (path, answer.status_code)
    assert list(FeatureState.objects.values()) == states
    assert Environment.objects.get(pk=environment.pk).revision == before
    assert (feature.owners.count(), feature.multivariate_options.count()) == (0, 2)
    content = viewer.get(page).content.decode()
    assert "UPDATE_FEATURE_STATE" in content
    assert "MANAGE_SEGMENT_OVERRIDES" in content
    assert "Last changes" not in content
    for path in ("identities/", "variations/", "settings/"):
        assert "needs the permission" in viewer.get(f"{page}{path}").content.decode(), path
        assert stranger.get(f"{page}{path}").status_code == 404


def test_pages__200_segments_50_environments__dozen_queries(
    browser: Client,
    place: str,
    project: Project,
    environment: Environment,
    make_feature: Callable[..., Feature],
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(49):
        Environment.objects.create(name=f"Environment {number}", project=project)
    feature = make_feature("banner")
    add_option(feature, type="unicode", string_value="a", default_percentage_allocation=20.0)
    segments = Segment.objects.bulk_create(Segment(name=f"Segment {number}", project=project) for number in range(200))
    for segment in segments[:30]:
        create_override(environment, feature, segment)
    identity = Identity.objects.create(environment=environment, identifier="ada")
    FeatureState.objects.create(environment=environment, feature=feature, identity=identity)
    page = f"{place}features/{feature.pk}/"
    browser.get(page)
    paths = (
        "",
        "overrides/new/",
        f"overrides/{segments[0].pk}/",
        "identities/",
        f"identities/{identity.pk}/",
        "variations/",
        "settings/",
    )
    for path in paths:
        with django_assert_max_num_queries(12):
            assert browser.get(f"{page}{path}").status_code == 200, path
