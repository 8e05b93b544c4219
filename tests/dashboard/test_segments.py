"""Segments in the dashboard, without JavaScript: the list, the rule builder, and the check of an identity."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from projects.models import Project
from segments import trees
from segments.models import Condition, Segment, SegmentRule
from tests.dashboard.features.forms import form_data
from tests.scale.growth import Growth, grow

pytestmark = pytest.mark.django_db

GROUP = "rules.0.rules.0"


@pytest.fixture
def segments(project: Project, environment: Environment) -> str:
    return f"/projects/{project.pk}/segments/"


def fields(page: bytes) -> dict[str, str]:
    """The form data that a browser would send for the rule builder, without its buttons."""
    (form,) = re.findall(r'<form id="builder".*?</form>', page.decode(), re.DOTALL)
    data = {}
    for tag in re.findall(r"<input[^>]*>", form):
        data[_attribute(tag, "name")] = _attribute(tag, "value")
    for tag, content in re.findall(r"(<textarea[^>]*>)(.*?)</textarea>", form, re.DOTALL):
        data[_attribute(tag, "name")] = html.unescape(content)
    for tag, options in re.findall(r"(<select[^>]*>)(.*?)</select>", form, re.DOTALL):
        (chosen,) = re.findall(r'<option value="([^"]*)"[^>]* selected>', options)
        data[_attribute(tag, "name")] = html.unescape(chosen)
    # Browsers remove line breaks from single-line inputs.
    return {name: re.sub("[\r\n]", "", text) for name, text in data.items()}


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf' {name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def press(browser: Client, url: str, page: bytes, do: str, **typed: str) -> Any:
    """Submit the form with the typed fields, by the button with this value."""
    return browser.post(url, {**fields(page), **typed, "do": do})


def test_create__every_operator_without_scripts__saved_by_one_call(browser: Client, segments: str) -> None:
    url = f"{segments}new/"
    page = browser.get(url).content
    values = {
        "MODULO": "2|0", "IN": "a,b", "PERCENTAGE_SPLIT": "25", "REGEX": "^a", "GREATER_THAN": "2.0.0:semver"
    }  # fmt: skip
    for number, operator in enumerate(Condition.Operator.values):
        path = f"{GROUP}.conditions.{number}"
        typed = {f"{path}.operator": operator, f"{path}.property": "age", f"{path}.value": values.get(operator, "1")}
        page = press(browser, url, page, f"add-condition:{GROUP}", name="<b>Grown-ups</b>", **typed).content
    assert b"&lt;b&gt;Grown-ups&lt;/b&gt;" in page
    assert b"<b>Grown-ups" not in page
    page = press(browser, url, page, f"remove:{GROUP}.conditions.{len(Condition.Operator.values)}").content
    page = press(browser, url, page, "add-group:rules.0").content
    group = {"rules.0.rules.1.type": "NONE", "rules.0.rules.1.conditions.0.property": "plan"}
    note = {"rules.0.rules.1.conditions.0.description": "nobody who does not pay"}
    assert Segment.objects.count() == 0
    saved = press(browser, url, page, "save", **group, **note, **{"rules.0.rules.1.conditions.0.value": "free"})
    segment = Segment.objects.get()
    assert (saved.status_code, saved["Location"]) == (303, f"{segments}{segment.pk}/")
    assert (segment.name, segment.description) == ("<b>Grown-ups</b>", None)
    (top,) = trees.read(segment)
    assert (top["type"], top["conditions"], [each["type"] for each in top["rules"]]) == ("ALL", [], ["ANY", "NONE"])
    first, second = (each["conditions"] for each in top["rules"])
    assert [each["operator"] for each in first] == Condition.Operator.values
    wanted = {**dict.fromkeys(Condition.Operator.values, "1"), **values, "IS_SET": None, "IS_NOT_SET": None}
    assert {each["operator"]: each["value"] for each in first} == wanted
    assert second == [
        {"operator": "EQUAL", "property": "plan", "value": "free", "description": "nobody who does not pay"}
    ]


def test_edit__rules_untouched__rules_created_by_a_script_are_kept(
    browser: Client, segments: str, project: Project
) -> None:
    segment = Segment.objects.create(name="odd", project=project, description=None)
    conditions: list[trees.ConditionData] = [
        {"operator": "EQUAL", "property": "a", "value": "two\r\nlines", "description": "of\nmany\nlines"},
        {"operator": "PERCENTAGE_SPLIT", "property": None, "value": "50", "description": None},
        {"operator": "IS_SET", "property": "a", "value": "None", "description": ""},
        {"operator": "EQUAL", "property": None, "value": None, "description": None},
        {"operator": "IN", "property": "a", "value": "", "description": None},
    ]
    tree: list[trees.RuleData] = [
        {"type": "NONE", "conditions": conditions, "rules": [{"type": "ALL", "conditions": conditions[:2]}] * 2},
        {"type": "ANY", "conditions": conditions[1:3], "rules": []},
    ]
    trees.write([(segment, tree)])
    url = f"{segments}{segment.pk}/"
    page = browser.get(url).content
    # A group is added and removed again.
    page = press(browser, url, page, "add-group:rules.0").content
    page = press(browser, url, page, "remove:rules.0.rules.2").content
    saved = press(browser, url, page, "save", name="even")
    assert saved.status_code == 303
    stored = Segment.objects.get(pk=segment.pk)
    assert (stored.name, stored.description) == ("even", None)
    assert trees.read(stored) == tree


def test_edit__rejected_by_the_api__errors_at_the_fields(browser: Client, segments: str, segment: Segment) -> None:
    url = f"{segments}{segment.pk}/"
    page = browser.get(url).content
    page = press(browser, url, page, f"add-condition:{GROUP}").content
    conditions = f"{GROUP}.conditions"
    typed = {
        f"{conditions}.0.operator": "REGEX",
        f"{conditions}.0.value": "(",
        f"{conditions}.1.operator": "LIKE",
        f"{conditions}.1.value": "<i>1</i>",
        f"{GROUP}.type": "SOME",
    }
    response = press(browser, url, page, "save", name="", **typed)
    assert response.status_code == 400
    shown = response.content.decode()
    for name in (
        "name",
        f"{GROUP}.type",
        f"{conditions}.0.value",
        f"{conditions}.1.property",
        f"{conditions}.1.operator",
    ):
        tag = re.search(rf'<(input|select|textarea)[^>]* name="{re.escape(name)}"[^>]*>', shown)
        assert tag is not None, name
        assert 'aria-invalid="true"' in tag[0], name
        described = re.search(r'aria-describedby="([^"]+)"', tag[0])
        assert described is not None, name
        assert f'id="{described[1]}"' in shown, name
    assert "This cannot be evaluated" in shown
    assert "&lt;i&gt;1&lt;/i&gt;" in shown
    assert fields(response.content).items() >= typed.items()
    none = press(browser, url, page, "remove:rules.0")
    assert b"There is no rule any more" in none.content
    rejected = press(browser, url, none.content, "save")
    assert rejected.status_code == 400
    assert b"This list may not be empty." in rejected.content
    assert Condition.objects.get().value == "pro"


def test_edit__changed_by_another_user_meanwhile__conflict_before_it_is_replaced(
    browser: Client, segments: str, segment: Segment
) -> None:
    url = f"{segments}{segment.pk}/"
    page = browser.get(url).content
    segment.name = "theirs"
    segment.save()
    response = press(browser, url, page, "save", name="mine")
    assert response.status_code == 409
    assert "This has been changed since you opened it. The name is “theirs” now." in response.content.decode()
    assert Segment.objects.get().name == "theirs"
    assert browser.post(url, form_data(response.content.decode(), url)).status_code == 303
    assert Segment.objects.get().name == "mine"


@pytest.mark.parametrize(
    "typed",
    [
        {"rules.0": "x", "rules.0.type": "ALL"},
        {"rules.0.type": "ALL", "rules.0": "x"},
        {"rules.x.type": "ALL", "rules.9999999999.type": "ALL", "rules.0.conditions": "1"},
        {"rules.0.type.a": "b", "rules.0.rules.0.rules.0.rules.0.type": "ALL"},
        {"rules.0.conditions.0.stored": 100_000 * "[", "rules.0.conditions.0.operator": "EQUAL"},
        {"rules.0.conditions.0.stored": "[", "rules.0.conditions.0.operator": "EQUAL"},
        {"rules.0.conditions.0.stored": '{"value": 1, "operator": "EQUAL"}', "rules.0.conditions.0.operator": "EQUAL"},
    ],
)
def test_create__malformed_form__rejected_by_the_api(browser: Client, segments: str, typed: dict[str, str]) -> None:
    assert browser.post(f"{segments}new/", {"name": "a", "do": "add-condition:rules.0", **typed}).status_code == 200
    assert browser.post(f"{segments}new/", {"name": "a", "do": "save", **typed}).status_code == 400
    assert not Segment.objects.exists()


@pytest.fixture
def override(segment: Segment, environment: Environment, feature: Feature) -> FeatureState:
    feature_segment = FeatureSegment.objects.create(
        segment=segment, environment=environment, feature=feature, priority=0
    )
    return FeatureState.objects.create(
        feature=feature, environment=environment, feature_segment=feature_segment, enabled=True, version=1
    )


@pytest.mark.usefixtures("override")
def test_delete__confirmed__segment_and_its_overrides_deleted(
    browser: Client, viewer: Client, segments: str, segment: Segment
) -> None:
    listed = browser.get(segments, {"search": "PROF"}).content
    assert b"overrides 1 feature<" in listed
    assert b"plan is pro" in listed
    url = f"{segments}{segment.pk}/"
    assert b"banner" in browser.get(url).content
    confirmation = browser.get(f"{url}delete/").content
    assert b"Its overrides of 1 feature go as well: banner." in confirmation
    rejected = viewer.post(f"{url}delete/", follow=True)
    assert rejected.redirect_chain == [(url, 303)]
    assert b'class="message error"' in rejected.content
    assert Segment.objects.exists()
    gone = browser.post(f"{url}delete/", follow=True)
    assert gone.redirect_chain == [(segments, 303)]
    assert b"professionals is deleted." in gone.content
    assert not Segment.objects.exists()
    assert not FeatureSegment.objects.exists()
    assert browser.get(url).status_code == 404


def test_pages__override_in_an_invisible_environment__not_shown(
    viewer: Client, browser: Client, segments: str, segment: Segment, production: Environment, feature: Feature
) -> None:
    feature_segment = FeatureSegment.objects.create(
        segment=segment, environment=production, feature=feature, priority=0
    )
    FeatureState.objects.create(feature=feature, environment=production, feature_segment=feature_segment, version=1)
    for client, is_visible in ((browser, True), (viewer, False)):
        assert (b"overrides 1 feature<" in client.get(segments).content) == is_visible
        page = client.get(f"{segments}{segment.pk}/")
        assert page.status_code == 200
        assert (b"banner" in page.content) == is_visible


def test_pages__without_manage_segments_or_of_another_organisation__read_only_or_404(
    viewer: Client, stranger: Client, segments: str, segment: Segment
) -> None:
    for url in (segments, f"{segments}new/", f"{segments}{segment.pk}/", f"{segments}{segment.pk}/delete/"):
        assert stranger.get(url).status_code == 404
        page = viewer.get(url)
        assert page.status_code == 200
        assert b"MANAGE_SEGMENTS" in page.content
    page = viewer.get(f"{segments}{segment.pk}/").content
    assert b'<fieldset class="bare" disabled' in page
    assert press(viewer, f"{segments}{segment.pk}/", page, "save", name="mine").status_code == 403
    assert stranger.post(f"{segments}{segment.pk}/check/", {"identifier": "u1"}).status_code == 404
    assert Segment.objects.get().name == "professionals"


@pytest.fixture
def check(segments: str, segment: Segment, environment: Environment) -> Callable[[Client, str, str], tuple[int, str]]:
    """Check an identity: returns the status and the section of the page with the result."""

    def ask(browser: Client, identifier: str = "", traits: str = "") -> tuple[int, str]:
        typed = {"environment": environment.api_key, "identifier": identifier, "traits": traits}
        response = browser.post(f"{segments}{segment.pk}/check/", typed)
        (section,) = re.findall(
            r'<section class="panel" id="check">.*?</section>', response.content.decode(), re.DOTALL
        )
        return response.status_code, html.unescape(section)

    return ask


def test_check__stored_and_typed_traits__verdict_of_the_engine_and_nothing_stored(
    browser: Client,
    viewer: Client,
    environment: Environment,
    segment: Segment,
    check: Callable[..., tuple[int, str]],
) -> None:
    (group,) = SegmentRule.objects.filter(rule__segment=segment)
    Condition.objects.create(rule=group, operator="GREATER_THAN", property="age", value="17")
    identity = Identity.objects.create(environment=environment, identifier="u1")
    Trait.objects.create(identity=identity, trait_key="plan", trait_value="pro")
    before = Identity.objects.count(), Trait.objects.count()
    status, section = check(browser, "u1")
    assert status == 200
    assert "It matches" in section
    assert "Judged with 1 stored trait of it." in section
    conditions = re.findall(r"<code>([^<]*)</code> <span[^>]*>(yes|no)</span>", section)
    assert conditions == [("plan is pro", "yes"), ("age > 17", "no")]
    for traits, matches in {
        "plan=free": False,
        "plan=free\n\n age = 18 ": True,
        '{"plan": null}': False,
        '{"plan": "free", "age": 18}': True,
        # The engine converts text that looks like a number.
        'plan=null\nage="18"': True,
        "plan=null\nage=9": False,
    }.items():
        status, section = check(browser, "u1", traits)
        assert (status, "It matches" in section, "It does not match" in section) == (200, matches, not matches), traits
    assert "such identity" in check(browser, "u2", "plan=pro")[1]
    assert "no place in a percentage split" in check(browser, "", "plan=pro")[1]
    # Without VIEW_IDENTITIES the stored traits are not used.
    status, section = check(viewer, "u1")
    assert status == 200
    assert "It does not match" in section
    assert "VIEW_IDENTITIES" in section
    assert (Identity.objects.count(), Trait.objects.count()) == before


@pytest.mark.parametrize(
    ("traits", "error"),
    [
        ("plan", "Line 1 is neither"),
        ("a=1\n=2", "Line 2 is neither"),
        ("{", "This is no JSON"),
        ('{"a":' + "[" * 100_000, "This is no JSON"),
        ("[1]", "Line 1 is neither"),
        ("a=NaN", "A number must be finite"),
        ('{"<b>": ""}', ""),
        (f"{'k' * 201}=1", "no more than 200 characters"),
    ],
)
def test_check__invalid_traits__error_at_the_field(
    browser: Client, check: Callable[..., tuple[int, str]], traits: str, error: str
) -> None:
    status, section = check(browser, "", traits)
    assert status == (400 if error else 200)
    assert error in section
    assert ('aria-invalid="true"' in section) == bool(error)


def test_check__no_input_or_no_environment__400_with_the_error(
    browser: Client, segments: str, segment: Segment, check: Callable[..., tuple[int, str]]
) -> None:
    status, section = check(browser)
    assert status == 400
    assert "Type an identifier, traits, or both." in section
    response = browser.post(f"{segments}{segment.pk}/check/", {"environment": "unknown", "identifier": "u1"})
    assert response.status_code == 400
    assert b"Choose an environment." in response.content


def test_pages__many_segments__dozen_queries(
    viewer: Client,
    browser: Client,
    environment: Environment,
    segments: str,
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    grow(environment, Growth(features=3, environments=9, segments=60, identities=0, entries=0, others=1))
    segment = Segment.objects.first()
    assert segment is not None
    for client in (browser, viewer):
        for url in (segments, f"{segments}?search=e&page=2", f"{segments}{segment.pk}/", f"{segments}new/"):
            with django_assert_max_num_queries(12):
                assert client.get(url).status_code == 200
