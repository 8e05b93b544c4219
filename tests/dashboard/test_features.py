"""The list of features without JavaScript: search and filters, toggle, create, archive, delete."""

from collections.abc import Callable

import pytest
from django.test import Client

from environments.models import Environment
from features.models import Feature, FeatureState
from projects.models import Project
from projects.tags.models import Tag

pytestmark = pytest.mark.django_db

HTML = "<script>alert(1)</script>\"'&"


def names(page: str) -> list[str]:
    """The names of the listed features, in the order of the list."""
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
def test_features__filtered__only_matching_features(
    query: str,
    expected: list[str],
    browser: Client,
    base_path: str,
    project: Project,
    make_feature: Callable[..., Feature],
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
    response = browser.get(f"{base_path}features/?{query.format(tag=tag.pk)}")
    assert (response.status_code, names(response.content.decode())) == (200, expected)


@pytest.mark.parametrize("query", ["tag=x", "state=perhaps", "tag=1&tag=%00"])
def test_features__invalid_filter__404(query: str, browser: Client, base_path: str) -> None:
    assert browser.get(f"{base_path}features/?{query}").status_code == 404


def test_features__html_in_name_value_and_tag__escaped(
    browser: Client, base_path: str, project: Project, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature(HTML, initial_value=HTML, description=HTML)
    feature.tags.add(Tag.objects.create(label=HTML, project=project))
    page = browser.get(f"{base_path}features/").content.decode()
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_features__viewer__switches_disabled_with_the_reason(
    viewer: Client, base_path: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    feature = make_feature("banner")
    page = viewer.get(f"{base_path}features/").content.decode()
    assert 'disabled aria-describedby="why-not"' in page
    assert "UPDATE_FEATURE_STATE" in page
    # The API rejects the forms, and the page shows its message.
    for path, body in (("toggle/", {"enabled": "true"}), ("archive/", {"archived": "true"}), ("delete/", {})):
        response = viewer.post(f"{base_path}features/{feature.pk}/{path}", body, follow=True)
        assert "You do not have permission to perform this action." in response.content.decode()
    feature.refresh_from_db()
    assert not feature.is_archived
    assert not FeatureState.objects.get(feature=feature, environment=environment).enabled


def test_features__user_of_another_organisation__every_page_404(
    base_path: str, make_feature: Callable[..., Feature], stranger: Client
) -> None:
    feature = make_feature("banner")
    for path in ("features/", "features/new/", f"features/{feature.pk}/delete/"):
        assert stranger.get(f"{base_path}{path}").status_code == 404
    for path in ("toggle/", "archive/", "delete/"):
        assert stranger.post(f"{base_path}features/{feature.pk}/{path}").status_code == 404
    assert Feature.objects.filter(pk=feature.pk).exists()


def test_feature_of_another_project__404(browser: Client, base_path: str, project: Project) -> None:
    other_project = Project.objects.create(name="Elsewhere", organisation=project.organisation)
    feature = Feature.objects.create(name="banner", project=other_project)
    assert browser.post(f"{base_path}features/{feature.pk}/delete/").status_code == 404


def test_create__name_and_value__feature_in_all_environments(
    browser: Client, base_path: str, production: Environment, environment: Environment
) -> None:
    body = {"name": "banner", "initial_value": "red", "default_enabled": "on"}
    response = browser.post(f"{base_path}features/new/", body)
    feature = Feature.objects.get(name="banner")
    assert (response.status_code, response["Location"]) == (303, f"{base_path}features/{feature.pk}/")
    states = FeatureState.objects.filter(feature=feature)
    assert {state.environment for state in states if state.enabled} == {production, environment}


def test_create__name_taken__error_at_the_field_and_input_kept(
    browser: Client, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    make_feature("banner")
    response = browser.post(f"{base_path}features/new/", {"name": "Banner", "description": "As it was typed"})
    page = response.content.decode()
    assert response.status_code == 400
    assert "Feature with that name already exists" in page
    assert 'value="As it was typed"' in page
    assert 'aria-invalid="true"' in page


def test_archive_and_restore__feature_moves_between_the_lists(
    browser: Client, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    browser.post(f"{base_path}features/{feature.pk}/archive/", {"archived": "true"})
    assert names(browser.get(f"{base_path}features/").content.decode()) == []
    back = f"{base_path}features/?archived=true"
    response = browser.post(
        f"{base_path}features/{feature.pk}/archive/", {"archived": "false", "back": back}, follow=True
    )
    assert response.redirect_chain == [(back, 303)]
    assert names(browser.get(f"{base_path}features/").content.decode()) == ["banner"]


def test_archive__back_url_of_another_site__redirect_to_the_list(
    browser: Client, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    for back in ("https://example.com/", "//example.com/", "javascript:alert(1)", ""):
        response = browser.post(f"{base_path}features/{feature.pk}/archive/", {"archived": "true", "back": back})
        assert response["Location"] == f"{base_path}features/"


def test_delete__get_then_post__confirmation_then_deleted(
    browser: Client, base_path: str, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("banner")
    assert "Delete banner?" in browser.get(f"{base_path}features/{feature.pk}/delete/").content.decode()
    assert Feature.objects.filter(pk=feature.pk).exists()
    response = browser.post(f"{base_path}features/{feature.pk}/delete/", follow=True)
    assert "banner is deleted." in response.content.decode()
    assert not Feature.objects.filter(pk=feature.pk).exists()
