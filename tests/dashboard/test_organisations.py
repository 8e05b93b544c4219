"""Settings of an organisation: members, invitations, groups, permissions, API keys and webhooks."""

from typing import Any

import pytest
from django.test import Client

from api_keys.models import MasterAPIKey
from environments.models import Environment, UserEnvironmentPermission, Webhook
from organisations.invites.models import Invite, InviteLink
from organisations.models import Organisation, OrganisationRole, OrganisationWebhook, UserOrganisation
from projects.models import Project, UserPermissionGroupProjectPermission, UserProjectPermission
from tests.dashboard.test_environment_settings import digests
from users.models import FFAdminUser, UserPermissionGroup

pytestmark = pytest.mark.django_db

PAGES = ("", "delete/", "invitations/", "keys/", "webhooks/", "permissions/")


@pytest.fixture
def path(organisation: Organisation) -> str:
    return f"/organisations/{organisation.pk}/settings/"


def test_pages__member__members_and_groups_only(member_browser: Client, path: str) -> None:
    for page in PAGES:
        assert member_browser.get(path + page).status_code == 403, page
    members = member_browser.get(f"{path}members/").content.decode()
    assert "admin@example.com" in members
    assert "Make admin" not in members
    assert "MANAGE_USER_GROUPS" in member_browser.get(f"{path}groups/").content.decode()


def test_general__saved_and_deleted(browser: Client, path: str, organisation: Organisation) -> None:
    opened = browser.get(path).content.decode()
    form = {"name": "Acme 2", "restrict_project_create_to_admin": "on", "digests": digests(opened)}
    assert browser.post(path, form)["Location"] == path
    organisation.refresh_from_db()
    assert (organisation.name, organisation.restrict_project_create_to_admin) == ("Acme 2", True)
    assert browser.post(path, form).status_code == 409
    assert browser.post(f"{path}delete/", {"name": "Acme"}).status_code == 400
    assert browser.post(f"{path}delete/", {"name": "Acme 2"})["Location"] == "/"
    assert not Organisation.objects.filter(pk=organisation.pk).exists()


def test_members__role_and_removal(
    browser: Client, member_browser: Client, path: str, member_user: FFAdminUser, organisation: Organisation
) -> None:
    assert member_browser.post(f"{path}members/{member_user.pk}/role/", {"role": "ADMIN"}).status_code == 403
    page = browser.post(f"{path}members/{member_user.pk}/role/", {"role": "ADMIN"}, follow=True).content.decode()
    assert "member@example.com is an admin now." in page
    membership = UserOrganisation.objects.get(user=member_user, organisation=organisation)
    assert membership.role == OrganisationRole.ADMIN
    assert (
        "Remove member@example.com from Acme?"
        in browser.get(f"{path}members/{member_user.pk}/remove/").content.decode()
    )
    browser.post(f"{path}members/{member_user.pk}/remove/")
    assert not UserOrganisation.objects.filter(user=member_user).exists()
    assert browser.get(f"{path}members/{member_user.pk}/remove/").status_code == 404


def test_members__search__by_address_and_name(browser: Client, path: str, member_user: FFAdminUser) -> None:
    for search in ("MEMBER@", "max"):
        page = browser.get(f"{path}members/?search={search}").content.decode()
        assert "member@example.com" in page
        assert 'Remove<span class="hidden"> admin@example.com' not in page


def test_invitation__by_mail__sent_again_and_withdrawn(browser: Client, path: str, organisation: Organisation) -> None:
    group = UserPermissionGroup.objects.create(name="Testers", organisation=organisation)
    form = {"email": "new@example.com", "role": "USER", "permission_groups": [str(group.pk)]}
    assert browser.post(f"{path}invitations/mail/", form).status_code == 303
    invite = Invite.objects.get(organisation=organisation)
    assert list(invite.permission_groups.all()) == [group]
    again = browser.post(f"{path}invitations/mail/", form)
    assert again.status_code == 400
    assert 'value="new@example.com"' in again.content.decode()
    assert browser.post(f"{path}invitations/{invite.pk}/resend/").status_code == 303
    assert browser.post(f"{path}invitations/{invite.pk}/withdraw/").status_code == 303
    assert not Invite.objects.exists()


def test_invitation__by_link__shown_used_and_deleted(
    browser: Client, stranger: Client, path: str, organisation: Organisation
) -> None:
    assert browser.post(f"{path}invitations/links/", {"role": "USER", "expires_at": "soon"}).status_code == 400
    page = browser.post(f"{path}invitations/links/", {"role": "ADMIN"}, follow=True).content.decode()
    link = InviteLink.objects.get(organisation=organisation)
    assert f"/invite-link/{link.hash}</code>" in page
    assert stranger.post(f"/invite-link/{link.hash}").status_code == 303
    membership = UserOrganisation.objects.get(organisation=organisation, user__email="stranger@example.com")
    assert membership.role == OrganisationRole.ADMIN
    browser.post(f"{path}invitations/links/{link.pk}/delete/")
    assert not InviteLink.objects.exists()


def test_group__members_and_settings(
    browser: Client, path: str, organisation: Organisation, member_user: FFAdminUser
) -> None:
    response = browser.post(f"{path}groups/new/", {"name": "Testers"})
    group = UserPermissionGroup.objects.get(organisation=organisation)
    group_path = f"{path}groups/{group.pk}/"
    assert response["Location"] == group_path
    wrong = browser.post(f"{group_path}members/", {"email": "nobody@example.com"})
    assert (wrong.status_code, "No member of the organisation" in wrong.content.decode()) == (400, True)
    browser.post(f"{group_path}members/", {"email": "Member@example.com"})
    browser.post(f"{group_path}members/{member_user.pk}/admin/", {"admin": "true"})
    membership = group.memberships.get()
    assert (membership.ffadminuser, membership.group_admin) == (member_user, True)
    page = browser.get(group_path).content.decode()
    form = {"name": "QA", "is_default": "on", "external_id": "qa-1", "digests": digests(page)}
    assert browser.post(group_path, form).status_code == 303
    group.refresh_from_db()
    assert (group.name, group.is_default, group.external_id) == ("QA", True, "qa-1")
    browser.post(f"{group_path}members/{member_user.pk}/remove/")
    assert not group.memberships.exists()
    assert browser.get(f"{group_path}delete/").status_code == 200
    browser.post(f"{group_path}delete/")
    assert not UserPermissionGroup.objects.exists()


def test_permissions__of_a_user__given_changed_and_removed(
    browser: Client,
    member_browser: Client,
    member_user: FFAdminUser,
    project: Project,
    environment: Environment,
    base_path: str,
) -> None:
    in_project = f"/projects/{project.pk}/settings/permissions/"
    in_environment = f"{base_path}settings/permissions/"
    assert member_browser.get(f"{base_path}features/").status_code == 404
    for page, keys in ((in_project, ["VIEW_PROJECT", "MANAGE_TAGS"]), (in_environment, ["VIEW_ENVIRONMENT"])):
        form_path = f"{page}users/{member_user.pk}/"
        opened = browser.get(form_path).content.decode()
        assert browser.post(form_path, {"permissions": keys, "digests": digests(opened)})["Location"] == page
        assert keys[-1] in browser.get(page).content.decode()
    assert member_browser.get(f"{base_path}features/").status_code == 200
    assert member_browser.get(in_project).status_code == 403
    assert member_browser.get(in_environment).status_code == 403
    row = UserProjectPermission.objects.get(user=member_user)
    assert set(row.permissions.values_list("key", flat=True)) == {"VIEW_PROJECT", "MANAGE_TAGS"}
    form_path = f"{in_project}users/{member_user.pk}/"
    assert browser.post(form_path, {"permissions": ["VIEW_PROJECT"], "digests": digests(opened)}).status_code == 409
    browser.post(form_path, {"admin": "on"})
    row.refresh_from_db()
    assert (row.admin, row.permissions.count()) == (True, 0)
    browser.post(form_path, {})
    assert not UserProjectPermission.objects.exists()
    assert UserEnvironmentPermission.objects.exists()


def test_permissions__of_a_group_and_in_the_organisation(
    browser: Client, path: str, organisation: Organisation, member_user: FFAdminUser, project: Project, stranger: Client
) -> None:
    group = UserPermissionGroup.objects.create(name="Testers", organisation=organisation)
    in_project = f"/projects/{project.pk}/settings/permissions/groups/{group.pk}/"
    browser.post(in_project, {"permissions": ["VIEW_PROJECT", "NO_SUCH_KEY"]})
    row = UserPermissionGroupProjectPermission.objects.get(group=group)
    assert [each.key for each in row.permissions.all()] == ["VIEW_PROJECT"]
    in_organisation = f"{path}permissions/users/{member_user.pk}/"
    browser.post(in_organisation, {"permissions": ["CREATE_PROJECT"]})
    assert "CREATE_PROJECT" in browser.get(f"{path}permissions/").content.decode()
    assert "Testers" in browser.get(f"{path}permissions/?search=test").content.decode()
    other = FFAdminUser.objects.get(email="stranger@example.com")
    assert browser.get(f"{path}permissions/users/{other.pk}/").status_code == 404


def test_api_key__shown_once_used_and_revoked(
    browser: Client, client: Client, path: str, organisation: Organisation, project: Project
) -> None:
    assert browser.post(f"{path}keys/new/", {"name": "CI", "expiry_date": "soon"}).status_code == 400
    page = browser.post(f"{path}keys/new/", {"name": "CI"}).content.decode()
    secret = page.split('id="new-key">')[1].split("<")[0]
    key = MasterAPIKey.objects.get(organisation=organisation)
    assert secret.startswith(key.prefix)
    assert secret not in browser.get(f"{path}keys/").content.decode()

    def call() -> int:
        return client.get("/api/v1/projects/", headers={"Authorization": f"Api-Key {secret}"}).status_code

    assert call() == 200
    assert "Revoke “CI”?" in browser.get(f"{path}keys/{key.prefix}/revoke/").content.decode()
    browser.post(f"{path}keys/{key.prefix}/revoke/")
    assert call() in (401, 403)
    assert browser.get(f"{path}keys/{key.prefix}/revoke/").status_code == 404


@pytest.mark.parametrize("scope", ["organisation", "environment"])
def test_webhook__added_changed_tested_and_deleted(
    browser: Client, path: str, base_path: str, environment: Environment, scope: str
) -> None:
    model: Any = OrganisationWebhook if scope == "organisation" else Webhook
    webhooks = f"{path if scope == 'organisation' else f'{base_path}settings/'}webhooks/"
    wrong = browser.post(f"{webhooks}new/", {"url": "nowhere", "enabled": "on"})
    assert (wrong.status_code, 'id="webhook-url-wrong"' in wrong.content.decode()) == (400, True)
    assert browser.post(f"{webhooks}new/", {"url": "https://example.com/a", "enabled": "on"}).status_code == 303
    webhook = model.objects.get()
    item = f"{webhooks}{webhook.pk}/"
    opened = browser.get(item).content.decode()
    form = {"url": "https://example.com/b", "secret": "s", "digests": digests(opened)}
    assert browser.post(item, form)["Location"] == webhooks
    webhook.refresh_from_db()
    assert (webhook.url, webhook.secret, webhook.enabled) == ("https://example.com/b", "s", False)
    assert browser.post(item, form).status_code == 409
    tried = browser.post(f"{item}test/", follow=True).content.decode()
    assert 'class="message error"' in tried
    assert browser.get(f"{item}delete/").status_code == 200
    browser.post(f"{item}delete/")
    assert not model.objects.exists()


def test_webhooks__viewer_of_the_environment__urls_without_forms(
    viewer: Client, base_path: str, environment: Environment
) -> None:
    webhook = Webhook.objects.create(environment=environment, url="https://example.com/a", secret="hidden-secret")
    page = viewer.get(f"{base_path}settings/webhooks/").content.decode()
    assert "https://example.com/a" in page
    assert "hidden-secret" not in page
    assert "Add webhook" not in page
    assert viewer.get(f"{base_path}settings/webhooks/{webhook.pk}/").status_code == 404
    assert viewer.post(f"{base_path}settings/webhooks/new/", {"url": "https://example.com/b"}).status_code == 403


def test_home__links_to_the_settings(browser: Client, path: str) -> None:
    assert f'href="{path}members/"' in browser.get("/").content.decode()
