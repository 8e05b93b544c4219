"""Segments in the dashboard, without JavaScript: the list, the builder of rules, and who matches."""

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
from tests.scale.growth import Growth, grow

pytestmark = pytest.mark.django_db

GROUP = "rules.0.rules.0"


@pytest.fixture
def segments(project: Project, environment: Environment) -> str:
    return f"/projects/{project.pk}/segments/"


def fields(page: bytes) -> dict[str, str]:
    """What a browser would send of the builder, without its buttons."""
    (form,) = re.findall(r'<form id="builder".*?</form>', page.decode(), re.DOTALL)
    sent = {}
    for tag in re.findall(r"<input[^>]*>", form):
        sent[_attribute(tag, "name")] = _attribute(tag, "value")
    for tag, content in re.findall(r"(<textarea[^>]*>)(.*?)</textarea>", form, re.DOTALL):
        sent[_attribute(tag, "name")] = html.unescape(content)
    for tag, options in re.findall(r"(<select[^>]*>)(.*?)</select>", form, re.DOTALL):
        (chosen,) = re.findall(r'<option value="([^"]*)"[^>]* selected>', options)
        sent[_attribute(tag, "name")] = html.unescape(chosen)
    # Of an input, a browser sends one line.
    return {name: re.sub("[\r\n]", "", text) for name, text in sent.items()}


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf' {name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def press(browser: Client, url: str, page: bytes, do: str, **typed: str) -> Any:
    """Send the form with what was typed, by the button of this value."""
    return browser.post(url, {**fields(page), **typed, "do": do})


def test_create__every_operator_without_scripts__saved_by_one_call(browser: Client, segments: str) -> None:
    url = f"{segments}new/"
    page = browser.get(url).content
    values = {
        "MODULO": "2|0", "IN": "a,b", "PERCENTAGE_SPLIT": "25", "REGEX": "^a", "GREATER_THAN": "2.0.0:semver"
    }  # fmt: skip
    for number, operator in enumerate(Condition.Operator.values):
        place = f"{GROUP}.conditions.{number}"
        typed = {f"{place}.operator": operator, f"{place}.property": "age", f"{place}.value": values.get(operator, "1")}
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


def test_edit__nothing_typed__tree_of_a_script_unharmed(browser: Client, segments: str, project: Project) -> None:
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
    # What was opened and looked at, with a group that came and went.
    page = press(browser, url, page, "add-group:rules.0").content
    page = press(browser, url, page, "remove:rules.0.rules.2").content
    saved = press(browser, url, page, "save", name="even")
    assert saved.status_code == 303
    stored = Segment.objects.get(pk=segment.pk)
    assert (stored.name, stored.description) == ("even", None)
    assert trees.read(stored) == tree


def test_edit__refused_by_the_api__told_beside_the_fields(browser: Client, segments: str, segment: Segment) -> None:
    url = f"{segments}{segment.pk}/"
    page = browser.get(url).content
    page = press(browser, url, page, f"add-condition:{GROUP}").content
    place = f"{GROUP}.conditions"
    typed = {
        f"{place}.0.operator": "REGEX",
        f"{place}.0.value": "(",
        f"{place}.1.operator": "LIKE",
        f"{place}.1.value": "<i>1</i>",
        f"{GROUP}.type": "SOME",
    }
    answer = press(browser, url, page, "save", name="", **typed)
    assert answer.status_code == 400
    shown = answer.content.decode()
    for name in ("name", f"{GROUP}.type", f"{place}.0.value", f"{place}.1.property", f"{place}.1.operator"):
        tag = re.search(rf'<(input|select|textarea)[^>]* name="{re.escape(name)}"[^>]*>', shown)
        assert tag is not None, name
        assert 'aria-invalid="true"' in tag[0], name
        described = re.search(r'aria-describedby="([^"]+)"', tag[0])
        assert described is not None, name
        assert f'id="{described[1]}"' in shown, name
    assert "This cannot be evaluated" in shown
    assert "&lt;i&gt;1&lt;/i&gt;" in shown
    assert fields(answer.content).items() >= typed.items()
    none = press(browser, url, page, "remove:rules.0")
    assert b"There is no rule any more" in none.content
    refused = press(browser, url, none.content, "save")
    assert refused.status_code == 400
    assert b"This list may not be empty." in refused.content
    assert Condition.objects.get().value == "pro"


def test_edit__changed_by_somebody_meanwhile__asked_before_it_is_replaced(
    browser: Client, segments: str, segment: Segment
) -> None:
    url = f"{segments}{segment.pk}/"
    page = browser.get(url).content
    segment.name = "theirs"
    segment.save()
    answer = press(browser, url, page, "save", name="mine")
    assert answer.status_code == 409
    assert "This has been changed since you opened it. The name is “theirs” now." in answer.content.decode()
    assert Segment.objects.get().name == "theirs"
    assert press(browser, url, answer.content, "save").status_code == 303
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
def test_create__no_form_of_ours__refused_by_the_api(browser: Client, segments: str, typed: dict[str, str]) -> None:
    assert browser.post(f"{segments}new/", {"name": "a", "do": "add-condition:rules.0", **typed}).status_code == 200
    assert browser.post(f"{segments}new/", {"name": "a", "do": "save", **typed}).status_code == 400
    assert not Segment.objects.exists()


@pytest.fixture
def override(segment: Segment, environment: Environment, feature: Feature) -> FeatureState:
    place = FeatureSegment.objects.create(segment=segment, environment=environment, feature=feature, priority=0)
    return FeatureState.objects.create(
        feature=feature, environment=environment, feature_segment=place, enabled=True, version=1
    )


@pytest.mark.usefixtures("override")
def test_delete__confirmed__gone_with_its_overrides(
    browser: Client, viewer: Client, segments: str, segment: Segment
) -> None:
    listed = browser.get(segments, {"search": "PROF"}).content
    assert b"overrides 1 feature<" in listed
    assert b"plan is pro" in listed
    url = f"{segments}{segment.pk}/"
    assert b"banner" in browser.get(url).content
    asked = browser.get(f"{url}delete/").content
    assert b"Its overrides of 1 feature go as well: banner." in asked
    refused = viewer.post(f"{url}delete/", follow=True)
    assert refused.redirect_chain == [(url, 303)]
    assert b'class="message error"' in refused.content
    assert Segment.objects.exists()
    gone = browser.post(f"{url}delete/", follow=True)
    assert gone.redirect_chain == [(segments, 303)]
    assert b"professionals is deleted." in gone.content
    assert not Segment.objects.exists()
    assert not FeatureSegment.objects.exists()
    assert browser.get(url).status_code == 404


def test_pages__override_where_the_user_may_not_look__not_told(
    viewer: Client, browser: Client, segments: str, segment: Segment, production: Environment, feature: Feature
) -> None:
    place = FeatureSegment.objects.create(segment=segment, environment=production, feature=feature, priority=0)
    FeatureState.objects.create(feature=feature, environment=production, feature_segment=place, version=1)
    for client, told in ((browser, True), (viewer, False)):
        assert (b"overrides 1 feature<" in client.get(segments).content) == told
        page = client.get(f"{segments}{segment.pk}/")
        assert page.status_code == 200
        assert (b"banner" in page.content) == told


def test_pages__who_may_not__shown_without_the_means_or_not_at_all(
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
    """Ask whether somebody matches: the status, and the section of the page that answers."""

    def ask(browser: Client, identifier: str = "", traits: str = "") -> tuple[int, str]:
        typed = {"environment": environment.api_key, "identifier": identifier, "traits": traits}
        answer = browser.post(f"{segments}{segment.pk}/check/", typed)
        (section,) = re.findall(r'<section class="panel" id="check">.*?</section>', answer.content.decode(), re.DOTALL)
        return answer.status_code, html.unescape(section)

    return ask


def test_check__stored_and_typed_traits__as_the_engine_has_it_and_nothing_stored(
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
    status, told = check(browser, "u1")
    assert status == 200
    assert "It matches" in told
    assert "Judged with 1 stored trait of it." in told
    # Of two conditions, the one that holds and the one that does not.
    conditions = re.findall(r"<code>([^<]*)</code> <span[^>]*>(yes|no)</span>", told)
    assert conditions == [("plan is pro", "yes"), ("age > 17", "no")]
    for traits, matches in {
        "plan=free": False,
        "plan=free\n\n age = 18 ": True,
        '{"plan": null}': False,
        '{"plan": "free", "age": 18}': True,
        # Text that looks like a number is one to the engine.
        'plan=null\nage="18"': True,
        "plan=null\nage=9": False,
    }.items():
        status, told = check(browser, "u1", traits)
        assert (status, "It matches" in told, "It does not match" in told) == (200, matches, not matches), traits
    assert "such identity" in check(browser, "u2", "plan=pro")[1]
    assert "no place in a percentage split" in check(browser, "", "plan=pro")[1]
    # Who may not read identities learns nothing of the stored one.
    status, told = check(viewer, "u1")
    assert status == 200
    assert "It does not match" in told
    assert "VIEW_IDENTITIES" in told
    assert (Identity.objects.count(), Trait.objects.count()) == before


@pytest.mark.parametrize(
    ("traits", "said"),
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
def test_check__traits_that_nobody_can_have__told_beside_the_field(
    browser: Client, check: Callable[..., tuple[int, str]], traits: str, said: str
) -> None:
    status, told = check(browser, "", traits)
    assert status == (400 if said else 200)
    assert said in told
    assert ('aria-invalid="true"' in told) == bool(said)


def test_check__nothing_typed_or_no_environment__told(
    browser: Client, segments: str, segment: Segment, check: Callable[..., tuple[int, str]]
) -> None:
    status, told = check(browser)
    assert status == 400
    assert "Type an identifier, traits, or both." in told
    answer = browser.post(f"{segments}{segment.pk}/check/", {"environment": "unknown", "identifier": "u1"})
    assert answer.status_code == 400
    assert b"Choose an environment." in answer.content


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
