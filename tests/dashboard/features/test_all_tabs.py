"""All pages of a feature: escaping of HTML, permissions, and the number of queries."""

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
from tests.dashboard.features.forms import state_form, text
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

HTML = "<script>alert(1)</script>\"'&"


def test_page__html_in_every_text__escaped(
    browser: Client,
    base_path: str,
    project: Project,
    environment: Environment,
    make_feature: Callable[..., Feature],
) -> None:
    Environment.objects.filter(pk=environment.pk).update(name=HTML)
    feature = make_feature(HTML, initial_value=HTML, description=HTML)
    feature.tags.add(Tag.objects.create(label=HTML, project=project))
    segment = Segment.objects.create(name=HTML, project=project)
    create_override(environment, feature, segment, value=text(HTML))
    identity = Identity.objects.create(environment=environment, identifier=HTML)
    FeatureState.objects.create(environment=environment, feature=feature, identity=identity)
    option = add_option(feature, type="unicode", string_value=HTML, default_percentage_allocation=10.0)
    page = f"{base_path}features/{feature.pk}/"
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
        response = browser.get(f"{page}{path}")
        assert response.status_code == 200, path
        assert b"<script>alert" not in response.content, path
        assert b"&lt;script&gt;" in response.content, path


def test_other_environments__not_visible_to_the_user__not_shown(
    viewer: Client, browser: Client, page: str, production: Environment, feature: Feature
) -> None:
    # The fixture creates the feature before this environment, so it has no state there yet.
    state = FeatureState.objects.create(environment=production, feature=feature, enabled=True)
    assert f"{production.api_key}/features/{feature.pk}/" in browser.get(page).content.decode()
    assert production.api_key not in viewer.get(page).content.decode()
    assert state.enabled


def forms(
    page: str, segment: Segment, identity: Identity, option: Any, user: FFAdminUser
) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and form data of each form of a feature's pages. Each would change something."""
    new_override, new_identity = state_form(chosen=str(segment.pk)), state_form(chosen="bob")
    scheduled = state_form(action="schedule", when="2999-01-01T00:00", enabled="on")
    yield page, state_form(enabled="on")
    yield page, scheduled
    yield f"{page}overrides/new/", new_override
    yield f"{page}overrides/{segment.pk}/", state_form(enabled="on")
    yield f"{page}overrides/{segment.pk}/", scheduled
    yield f"{page}overrides/{segment.pk}/toggle/", {"enabled": "true"}
    yield f"{page}overrides/{segment.pk}/delete/", {}
    yield f"{page}overrides/order/", {"order": str(FeatureSegment.objects.get().pk)}
    yield f"{page}identities/new/", new_identity
    yield f"{page}identities/{identity.pk}/", state_form(enabled="on")
    yield f"{page}identities/{identity.pk}/toggle/", {"enabled": "true"}
    yield f"{page}identities/{identity.pk}/delete/", {}
    yield f"{page}variations/new/", {"kind": "text", "value": "c", "weight": "1"}
    yield f"{page}variations/{option.pk}/", {"kind": "text", "value": "c", "weight": "1"}
    yield f"{page}variations/{option.pk}/delete/", {}
    yield f"{page}settings/", {"description": "other"}
    yield f"{page}settings/owners/", {"action": "add", "user": str(user.pk)}


def test_forms__viewer_or_user_of_another_organisation__nothing_changes(
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
        response = viewer.post(path, body, follow=True)
        refusal = "You do not have permission to perform this action."
        assert refusal in response.content.decode(), (path, response.status_code)
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
    base_path: str,
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
    page = f"{base_path}features/{feature.pk}/"
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
