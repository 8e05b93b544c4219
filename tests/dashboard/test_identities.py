"""The list of identities, and the page of one: traits, flags with their rules, deletion."""

from collections.abc import Callable

import pytest
from django.test import Client

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature
from segments.models import Segment
from tests.dashboard.test_environment_settings import digests
from tests.identities.test_evaluate import add_segment_override

pytestmark = pytest.mark.django_db


@pytest.fixture
def identity(environment: Environment) -> Identity:
    return Identity.objects.create(environment=environment, identifier="ada@example.com")


@pytest.fixture
def path(base_path: str) -> str:
    return f"{base_path}identities/"


def test_list__search_and_pages__of_this_environment_only(
    browser: Client, path: str, environment: Environment, production: Environment
) -> None:
    Identity.objects.create(environment=production, identifier="elsewhere")
    Identity.objects.bulk_create([Identity(environment=environment, identifier=f"u{n:03}") for n in range(60)])
    first, second = (browser.get(f"{path}?page={page}").content.decode() for page in (1, 2))
    assert ">u000<" in first
    assert ">u059<" in second
    assert "elsewhere" not in first + second
    found = browser.get(f"{path}?search=U05").content.decode()
    assert ">u051<" in found
    assert ">u001<" not in found
    assert browser.get(f"{path}?search=%00").status_code == 200


def test_identity__created__listed_once(browser: Client, path: str, environment: Environment) -> None:
    response = browser.post(f"{path}new/", {"identifier": "ada"})
    identity = Identity.objects.get(environment=environment, identifier="ada")
    assert response["Location"] == f"{path}{identity.pk}/"
    again = browser.post(f"{path}new/", {"identifier": "ada"})
    assert again.status_code == 400
    assert "already exists" in again.content.decode()


def test_traits__added_changed_and_deleted__flags_follow(
    browser: Client, path: str, environment: Environment, identity: Identity, feature: Feature, segment: Segment
) -> None:
    add_segment_override(environment, feature, segment, 0, "for pro")
    page_path = f"{path}{identity.pk}/"
    assert "Default of Development" in browser.get(page_path).content.decode()
    form = {"trait_key": "plan", "value_type": "unicode", "value": "pro"}
    assert "for pro" in browser.post(f"{page_path}traits/", form, follow=True).content.decode()
    trait = Trait.objects.get(identity=identity)
    trait_path = f"{page_path}traits/{trait.pk}/"
    opened = browser.get(trait_path).content.decode()
    form = {"trait_key": "plan", "value_type": "int", "value": "7", "digests": digests(opened)}
    assert browser.post(trait_path, form).status_code == 303
    trait.refresh_from_db()
    assert (trait.value_type, trait.integer_value) == ("int", 7)
    wrong = browser.post(trait_path, {"trait_key": "plan", "value_type": "int", "value": "seven"})
    assert wrong.status_code == 400
    assert 'value="seven"' in wrong.content.decode()
    assert browser.post(trait_path, form).status_code == 409
    assert browser.get(f"{trait_path}delete/").status_code == 200
    browser.post(f"{trait_path}delete/")
    assert not Trait.objects.exists()


def test_identity__deleted__with_its_traits(browser: Client, path: str, identity: Identity) -> None:
    Trait.objects.create(identity=identity, trait_key="plan", string_value="pro")
    assert "Delete ada@example.com?" in browser.get(f"{path}{identity.pk}/delete/").content.decode()
    assert browser.post(f"{path}{identity.pk}/delete/")["Location"] == path
    assert not Identity.objects.exists()


def test_identities__viewer__neither_list_nor_page(viewer: Client, path: str, identity: Identity) -> None:
    response = viewer.get(path)
    assert response.status_code == 403
    assert "VIEW_IDENTITIES" in response.content.decode()
    assert "ada@example.com" not in response.content.decode()
    for suffix in ("", "delete/", "traits/1/"):
        assert viewer.get(f"{path}{identity.pk}/{suffix}").status_code == 404
    assert viewer.post(f"{path}new/", {"identifier": "mine"}).status_code == 403
    assert viewer.post(f"{path}{identity.pk}/traits/", {"trait_key": "a"}).status_code == 404


def test_identity__flags__searched_and_linked_to_the_form_of_an_override(
    browser: Client, path: str, base_path: str, identity: Identity, make_feature: Callable[..., Feature]
) -> None:
    banner, _ = make_feature("banner"), make_feature("checkout")
    page = browser.get(f"{path}{identity.pk}/?search=bann").content.decode()
    assert ">banner</a>" in page
    assert ">checkout</a>" not in page
    link = f"{base_path}features/{banner.pk}/identities/new/?identifier=ada%40example.com"
    assert f'href="{link}"' in page
    assert 'value="ada@example.com"' in browser.get(link).content.decode()
