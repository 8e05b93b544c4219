"""The pages of one feature without JavaScript: its value, its overrides, its variations, what is to happen later."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from environments.identities.models import Identity
from environments.models import Environment
from features.feature_segments.services import create_override
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.services import add_option
from features.workflows.core.models import ChangeRequest
from projects.models import Project
from projects.tags.models import Tag
from realtime.conf import conf
from segments.models import Segment
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

NASTY = "<script>alert(1)</script>\"'&"


@pytest.fixture
def page(place: str, feature: Feature) -> str:
    """The feature's own page."""
    return f"{place}features/{feature.pk}/"


@pytest.fixture
def segments(project: Project) -> list[Segment]:
    return [Segment.objects.create(name=name, project=project) for name in ("first", "second", "third")]


@pytest.fixture
def overrides(environment: Environment, feature: Feature, segments: list[Segment]) -> list[FeatureState]:
    """Of each segment, in the order of the segments."""
    return [create_override(environment, feature, each, value=text(each.name)) for each in segments]


@pytest.fixture
def options(feature: Feature) -> list[Any]:
    """Two, of which each gets 20 %."""
    return [
        add_option(feature, type="unicode", string_value=name, default_percentage_allocation=20.0)
        for name in ("a", "b")
    ]


def text(value: str) -> dict[str, str]:
    return {"type": "unicode", "string_value": value}


def form(kind: str = "text", value: str = "", **more: str) -> dict[str, str]:
    """What a browser sends of a state's form."""
    return {"kind": kind, "value": value, "truth": "false", "when": "", "when_utc": "", "action": "save", **more}


def said(environment: Environment, feature: Feature, **of: Any) -> tuple[bool, Any]:
    """What is live there: for everybody, or for whom the keywords say."""
    place = {"identity": None, "feature_segment": None} | of
    state = FeatureState.objects.get(environment=environment, feature=feature, version__isnull=False, **place)
    return state.enabled, state.feature_state_value.value


def order(feature: Feature) -> list[str]:
    places = FeatureSegment.objects.filter(feature=feature).order_by("priority", "id")
    return list(places.values_list("segment__name", flat=True))


def checked(content: str, name: str) -> list[str]:
    """The values of the chosen radio buttons of this name."""
    inputs = [each.split(">")[0] for each in content.split("<input ")[1:]]
    return [each.split('value="')[1].split('"')[0] for each in inputs if f'name="{name}"' in each and "checked" in each]


# --- everybody


@pytest.mark.parametrize(
    "sent, stored, kind",
    [
        (form("text", "1"), "1", "text"),
        (form("number", "1"), 1, "number"),
        (form("number", " -12 "), -12, "number"),
        (form("boolean", "ignored", truth="true"), True, "boolean"),
        (form("boolean", truth="false"), False, "boolean"),
        (form("text", "true"), "true", "text"),
        (form("json", '{"a": [1]}'), '{"a": [1]}', "json"),
        (form("text", "one\r\ntwo"), "one\ntwo", "text"),
    ],
)
def test_value__of_each_type__stored_as_that_and_shown_as_that(
    sent: dict[str, str],
    stored: Any,
    kind: str,
    browser: Client,
    page: str,
    environment: Environment,
    feature: Feature,
) -> None:
    answer = browser.post(page, {**sent, "enabled": "on"}, follow=True)
    assert answer.redirect_chain == [(page, 303)]
    enabled, value = said(environment, feature)
    assert (enabled, value, type(value)) == (True, stored, type(stored))
    content = answer.content.decode()
    assert checked(content, "kind") == [kind]
    # To send what is shown changes nothing: the page's own truth goes the whole way round.
    before = Environment.objects.get(pk=environment.pk).updated_at
    browser.post(page, {**sent, "enabled": "on"})
    assert Environment.objects.get(pk=environment.pk).updated_at == before


def test_value__none_and_left_empty__stays_none(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    browser.post(page, form(enabled="on"))
    assert said(environment, feature) == (True, None)


@pytest.mark.parametrize(
    "sent, sentence",
    [
        (form("number", "twelve"), "is not a valid integer"),
        (form("number", "2147483648"), "is not a valid integer"),
        (form("json", "{a: 1}"), "This is not JSON"),
        (form("json", "[NaN]"), "This is not JSON"),
        (form("text", "x" * 20_001), "no more than 20000 characters"),
        (form("boolean", truth="perhaps"), "is not a valid boolean"),
    ],
)
def test_value__wrong__said_beside_it_and_typed_text_kept(
    sent: dict[str, str], sentence: str, browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    answer = browser.post(page, {**sent, "enabled": "on"})
    content = answer.content.decode()
    assert answer.status_code == 400
    assert sentence in content.split("everybody-value-said")[2]
    assert 'aria-invalid="true"' in content
    assert checked(content, "kind") == [sent["kind"]]
    assert sent["value"].replace("&", "&amp;") in content
    assert said(environment, feature) == (False, None)


def test_weights__sum_too_large__refused_beside_them(
    browser: Client, page: str, options: list[Any], environment: Environment, feature: Feature
) -> None:
    content = browser.get(page).content.decode()
    assert "<output data-control>60</output>" in content
    weights = {f"weight-{each.pk}": "60" for each in options}
    answer = browser.post(page, form(**weights))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert "exceed 100%" in content.split("everybody-weights-said")[-1]
    assert 'value="60"' in content
    answer = browser.post(page, form("text", "red", enabled="on", **{**weights, f"weight-{options[0].pk}": "40"}))
    assert answer.status_code == 303
    state = FeatureState.objects.get(environment=environment, feature=feature, feature_segment=None)
    shares = state.multivariate_feature_state_values.values_list("percentage_allocation", flat=True)
    assert (list(shares), said(environment, feature)) == ([40.0, 60.0], (True, "red"))


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


# --- segments


def test_override__added_changed_toggled_removed(
    browser: Client, page: str, environment: Environment, feature: Feature, segments: list[Segment]
) -> None:
    segment = segments[0]

    def override() -> tuple[bool, Any]:
        return said(environment, feature, feature_segment=FeatureSegment.objects.get(segment=segment))

    assert "first" in browser.get(f"{page}overrides/new/").content.decode()
    answer = browser.post(f"{page}overrides/new/", form("number", "5", enabled="on", chosen=str(segment.pk)))
    assert (answer.status_code, answer["Location"], override()) == (303, page, (True, 5))
    content = browser.get(f"{page}overrides/{segment.pk}/").content.decode()
    assert f'id="segment-{segment.pk}-value"' in content
    browser.post(f"{page}overrides/{segment.pk}/", form("text", "5", enabled="on"))
    assert override() == (True, "5")
    browser.post(f"{page}overrides/{segment.pk}/toggle/", {"enabled": "false"})
    assert override() == (False, "5")
    assert "Remove the override for first?" in browser.get(f"{page}overrides/{segment.pk}/delete/").content.decode()
    browser.post(f"{page}overrides/{segment.pk}/delete/")
    assert not FeatureSegment.objects.filter(feature=feature).exists()
    for path in (f"overrides/{segment.pk}/", f"overrides/{segment.pk}/delete/", f"overrides/{segment.pk}/toggle/"):
        assert browser.post(f"{page}{path}", form()).status_code == 404


@pytest.mark.parametrize("chosen", ["", "x", "999999", "99999999999999999999"])
def test_override__no_segment_of_the_project__said_beside_it(
    chosen: str, browser: Client, page: str, segments: list[Segment]
) -> None:
    answer = browser.post(f"{page}overrides/new/", form("text", "kept", chosen=chosen))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert "new-chosen-wrong" in content
    assert "kept</textarea>" in content
    assert not FeatureSegment.objects.exists()


def test_order__by_buttons_and_as_dragged__priorities_follow(
    browser: Client, page: str, feature: Feature, overrides: list[FeatureState], segments: list[Segment]
) -> None:
    first, second, third = (each.feature_segment_id for each in overrides)
    answer = browser.post(f"{page}overrides/order/", {"place": third, "move": "up"}, follow=True)
    assert order(feature) == ["first", "third", "second"]
    assert "third is now number 2." in answer.content.decode()
    browser.post(f"{page}overrides/order/", {"place": first, "move": "down"})
    assert order(feature) == ["third", "first", "second"]
    # At the end of the list there is nowhere to go.
    browser.post(f"{page}overrides/order/", {"place": third, "move": "up"})
    browser.post(f"{page}overrides/order/", {"place": second, "move": "down"})
    assert order(feature) == ["third", "first", "second"]
    browser.post(f"{page}overrides/order/", {"order": f"{second},{first},{third}"})
    assert order(feature) == ["second", "first", "third"]
    assert browser.post(f"{page}overrides/order/", {"place": "x", "move": "up"}).status_code == 404
    for nonsense in ("1,x", f"{first},999999", ","):
        answer = browser.post(f"{page}overrides/order/", {"order": nonsense}, follow=True)
        assert 'class="message error"' in answer.content.decode()
    assert order(feature) == ["second", "first", "third"]


def test_order__place_without_a_state__is_passed_over(
    browser: Client, page: str, environment: Environment, feature: Feature, segments: list[Segment]
) -> None:
    create_override(environment, feature, segments[0])
    FeatureSegment.objects.create(environment=environment, feature=feature, segment=segments[1], priority=1)
    last = create_override(environment, feature, segments[2])
    browser.post(f"{page}overrides/order/", {"place": last.feature_segment_id, "move": "up"})
    assert order(feature) == ["third", "first", "second"]


# --- identities


def test_identity_override__added_changed_toggled_removed(
    browser: Client, page: str, environment: Environment, feature: Feature
) -> None:
    before = Environment.objects.get(pk=environment.pk)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced in real time." in content
    answer = browser.post(f"{page}identities/new/", form("number", "7", enabled="on", chosen=" ada "))
    assert (answer.status_code, answer["Location"]) == (303, f"{page}identities/")
    identity = Identity.objects.get(identifier="ada")
    assert said(environment, feature, identity=identity) == (True, 7)
    content = browser.get(f"{page}identities/?search=AD").content.decode()
    assert 'aria-label="On for ada"' in content
    assert "ada" not in browser.get(f"{page}identities/?search=x%00").content.decode().split("<main")[1]
    browser.post(f"{page}identities/{identity.pk}/", form("boolean", truth="true", enabled="on"))
    assert said(environment, feature, identity=identity) == (True, True)
    browser.post(f"{page}identities/{identity.pk}/toggle/", {"enabled": "false"})
    assert said(environment, feature, identity=identity) == (False, True)
    answer = browser.post(f"{page}identities/new/", form(chosen="ada"))
    assert "This identity overrides the feature already." in answer.content.decode()
    assert "Remove the override for ada?" in browser.get(f"{page}identities/{identity.pk}/delete/").content.decode()
    browser.post(f"{page}identities/{identity.pk}/delete/")
    assert not FeatureState.objects.filter(identity=identity).exists()
    assert browser.get(f"{page}identities/{identity.pk}/").status_code == 404
    # What the page says is true: no stream was told of any of it.
    assert Environment.objects.get(pk=environment.pk).updated_at == before.updated_at


@pytest.mark.parametrize("chosen", ["", "x\0", "x" * 3000])
def test_identity_override__bad_identifier__said_beside_it_and_nothing_made(
    chosen: str, browser: Client, page: str
) -> None:
    answer = browser.post(f"{page}identities/new/", form(chosen=chosen))
    content = answer.content.decode()
    assert answer.status_code == 400
    assert 'class="wrong"' in content.split('id="new-chosen-said"')[1]
    assert not Identity.objects.exists()


def test_identity_override__bad_value__identity_is_not_made_either(browser: Client, page: str) -> None:
    answer = browser.post(f"{page}identities/new/", form("number", "many", chosen="ada"))
    assert answer.status_code == 400
    assert "A valid integer is required." in answer.content.decode()
    assert not Identity.objects.exists()


def test_identities__announced_by_a_setting__page_says_so(
    browser: Client, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(conf), "ANNOUNCE_IDENTITY_OVERRIDES", True)
    content = browser.get(f"{page}identities/").content.decode()
    assert "Not announced" not in content
    assert "Announced in real time" in content


# --- variations


def test_variation__added_changed_removed(browser: Client, page: str, feature: Feature) -> None:
    sent = {"kind": "number", "value": "3", "weight": "30"}
    answer = browser.post(f"{page}variations/new/", sent, follow=True)
    assert answer.redirect_chain == [(f"{page}variations/", 303)]
    option = feature.multivariate_options.get()
    assert (option.value, option.default_percentage_allocation) == (3, 30.0)
    assert "30 % in Development" in answer.content.decode()
    browser.post(f"{page}variations/{option.pk}/", {"kind": "text", "value": "3", "weight": "30"})
    option.refresh_from_db()
    assert option.value == "3"
    answer = browser.post(f"{page}variations/{option.pk}/", {"kind": "text", "value": "4", "weight": "101"})
    assert (answer.status_code, 'value="101"' in answer.content.decode()) == (400, True)
    answer = browser.post(f"{page}variations/new/", {"kind": "text", "value": "b", "weight": "71"})
    assert "Invalid percentage allocation" in answer.content.decode().split("new-weight-said")[-1]
    browser.post(f"{page}variations/{option.pk}/delete/")
    feature.refresh_from_db()
    assert (feature.multivariate_options.count(), feature.type) == (0, "STANDARD")
    assert browser.get(f"{page}variations/{option.pk}/").status_code == 404


# --- later, and by others


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
    assert sentence in content.split("everybody-when-said")[-1]
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


# --- settings


def test_settings__description_tags_owners(
    browser: Client, page: str, feature: Feature, project: Project, user: FFAdminUser
) -> None:
    tags = [Tag.objects.create(label=label, project=project) for label in ("shop", "later")]
    feature.tags.add(tags[1])
    sent = {"description": "What it\r\ndoes", "tags": [str(tags[0].pk)], "is_server_key_only": "on"}
    answer = browser.post(f"{page}settings/", sent, follow=True)
    content = answer.content.decode()
    feature.refresh_from_db()
    assert (feature.description, feature.is_server_key_only) == ("What it\ndoes", True)
    assert [each.label for each in feature.tags.all()] == ["shop"]
    assert checked(content, "tags") == [str(tags[0].pk)]
    answer = browser.post(f"{page}settings/", {"tags": ["999999"], "description": "kept"})
    assert (answer.status_code, "kept</textarea>" in answer.content.decode()) == (400, True)
    browser.post(f"{page}settings/owners/", {"action": "add", "user": str(user.pk)})
    assert list(feature.owners.all()) == [user]
    browser.post(f"{page}settings/owners/", {"action": "remove", "user": str(user.pk)})
    assert not feature.owners.exists()
    answer = browser.post(f"{page}settings/owners/", {"action": "add", "user": ""}, follow=True)
    assert 'class="message error"' in answer.content.decode()


# --- who may


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


# --- size


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
