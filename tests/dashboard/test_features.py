"""The list of features without JavaScript: finding, toggling, creating, archiving, deleting."""

from collections.abc import Callable

import pytest
from django.test import Client

from environments.models import Environment
from features.models import Feature, FeatureState
from projects.models import Project
from projects.tags.models import Tag

pytestmark = pytest.mark.django_db

NASTY = "<script>alert(1)</script>\"'&"


def names(page: str) -> list[str]:
    """The features that a list shows, in its order."""
    return [part.split("</a>")[0].split(">")[1] for part in page.split('<a class="name"')[1:]]


@pytest.mark.parametrize(
    "query, expected",
    [
        ("", ["banner", "checkout", "search"]),
        ("order=-name", ["search", "checkout", "banner"]),
        ("search=ANN", ["banner"]),
        ("state=true", ["search"]),
        ("tag={tag}", ["checkout"]),
        ("archived=true", ["old"]),
        ("search=nothing", []),
    ],
)
def test_features__narrowed__those_alone(
    query: str, expected: list[str], browser: Client, place: str, project: Project, make_feature: Callable[..., Feature]
) -> None:
    tag = Tag.objects.create(label="shop", project=project)
    for name, fields in {
        "banner": {},
        "checkout": {},
        "search": {"default_enabled": True},
        "old": {"is_archived": True},
    }.items():
        feature = make_feature(name, **fields)
        if name == "checkout":
            feature.tags.add(tag)
    answer = browser.get(f"{place}features/?{query.format(tag=tag.pk)}")
    assert (answer.status_code, names(answer.content.decode())) == (200, expected)


@pytest.mark.parametrize("query", ["tag=x", "state=perhaps", "tag=1&tag=%00"])
def test_features__address_that_no_form_makes__404(query: str, browser: Client, place: str) -> None:
    assert browser.get(f"{place}features/?{query}").status_code == 404


def test_features__html_in_name_value_and_tag__shown_as_text(
    browser: Client, place: str, project: Project, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature(NASTY, initial_value=NASTY, description=NASTY)
    feature.tags.add(Tag.objects.create(label=NASTY, project=project))
    page = browser.get(f"{place}features/").content.decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_features__member_who_may_only_look__switches_are_disabled_and_say_why(
    viewer: Client, place: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    feature = make_feature("banner")
    page = viewer.get(f"{place}features/").content.decode()
    assert 'disabled aria-describedby="why-not"' in page
    assert "UPDATE_FEATURE_STATE" in page
    # A form that is sent all the same is refused by the API, and the page says so.
    for path, body in (("toggle/", {"enabled": "true"}), ("archive/", {"archived": "true"}), ("delete/", {})):
        answer = viewer.post(f"{place}features/{feature.pk}/{path}", body, follow=True)
        assert "You do not have permission to perform this action." in answer.content.decode()
    feature.refresh_from_db()
    assert not feature.is_archived
    assert not FeatureState.objects.get(feature=feature, environment=environment).enabled


def test_features__outsider__every_page_404(place: str, make_feature: Callable[..., Feature], stranger: Client) -> None:
    feature = make_feature("banner")
    for path in ("features/", "features/new/", f"features/{feature.pk}/delete/"):
        assert stranger.get(f"{place}{path}").status_code == 404
    for path in ("toggle/", "archive/", "delete/"):
        assert stranger.post(f"{place}features/{feature.pk}/{path}").status_code == 404
    assert Feature.objects.filter(pk=feature.pk).exists()


def test_feature_of_another_project__404(browser: Client, place: str, project: Project) -> None:
    elsewhere = Project.objects.create(name="Elsewhere", organisation=project.organisation)
    feature = Feature.objects.create(name="banner", project=elsewhere)
    assert browser.post(f"{place}features/{feature.pk}/delete/").status_code == 404


def test_create__name_and_value__there_in_all_environments(
    browser: Client, place: str, production: Environment, environment: Environment
) -> None:
    body = {"name": "banner", "initial_value": "red", "default_enabled": "on"}
    answer = browser.post(f"{place}features/new/", body)
    feature = Feature.objects.get(name="banner")
    assert (answer.status_code, answer["Location"]) == (303, f"{place}features/{feature.pk}/")
    states = FeatureState.objects.filter(feature=feature)
    assert {state.environment for state in states if state.enabled} == {production, environment}


def test_create__name_taken__said_beside_it_and_typed_text_kept(
    browser: Client, place: str, make_feature: Callable[..., Feature]
) -> None:
    make_feature("banner")
    answer = browser.post(f"{place}features/new/", {"name": "Banner", "description": "As it was typed"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Feature with that name already exists" in page
    assert 'value="As it was typed"' in page
    assert 'aria-invalid="true"' in page


def test_archive_and_restore__list_shows_it_in_its_place(
    browser: Client, place: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    browser.post(f"{place}features/{feature.pk}/archive/", {"archived": "true"})
    assert names(browser.get(f"{place}features/").content.decode()) == []
    back = f"{place}features/?archived=true"
    answer = browser.post(f"{place}features/{feature.pk}/archive/", {"archived": "false", "back": back}, follow=True)
    assert answer.redirect_chain == [(back, 303)]
    assert names(browser.get(f"{place}features/").content.decode()) == ["banner"]


def test_archive__leads_back_to_our_own_pages_alone(
    browser: Client, place: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    for back in ("https://example.com/", "//example.com/", "javascript:alert(1)", ""):
        answer = browser.post(f"{place}features/{feature.pk}/archive/", {"archived": "true", "back": back})
        assert answer["Location"] == f"{place}features/"


def test_delete__asks_first_and_then_deletes(browser: Client, place: str, make_feature: Callable[..., Feature]) -> None:
    feature = make_feature("banner")
    assert "Delete banner?" in browser.get(f"{place}features/{feature.pk}/delete/").content.decode()
    assert Feature.objects.filter(pk=feature.pk).exists()
    answer = browser.post(f"{place}features/{feature.pk}/delete/", follow=True)
    assert "banner is deleted." in answer.content.decode()
    assert not Feature.objects.filter(pk=feature.pk).exists()
