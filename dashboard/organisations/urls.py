"""Paths below an organisation's ``settings/``."""

from django.urls import path

from dashboard.organisations import api_keys, groups, invitations, members, pages
from dashboard.permissions import pages as permissions
from dashboard.permissions.urls import permission_urls
from dashboard.webhooks import pages as webhooks
from dashboard.webhooks.urls import webhook_urls

urlpatterns = [
    path("", pages.GeneralPage.as_view(), name="organisation-settings"),
    path("delete/", pages.DeleteOrganisation.as_view(), name="organisation-delete"),
    path("members/", members.MembersPage.as_view(), name="organisation-members"),
    path("members/<int:user_pk>/role/", members.ChangeRole.as_view(), name="member-role"),
    path("members/<int:user_pk>/remove/", members.RemoveMember.as_view(), name="member-remove"),
    path("invitations/", invitations.InvitationsPage.as_view(), name="organisation-invitations"),
    path("invitations/mail/", invitations.InviteByMail.as_view(), name="invite"),
    path("invitations/<int:invite_pk>/resend/", invitations.ResendInvitation.as_view(), name="invite-resend"),
    path("invitations/<int:invite_pk>/withdraw/", invitations.WithdrawInvitation.as_view(), name="invite-withdraw"),
    path("invitations/links/", invitations.NewLink.as_view(), name="invite-link-create"),
    path("invitations/links/<int:link_pk>/delete/", invitations.DeleteLink.as_view(), name="invite-link-delete"),
    path("groups/", groups.GroupsPage.as_view(), name="organisation-groups"),
    path("groups/new/", groups.NewGroup.as_view(), name="group-create"),
    path("groups/<int:group_pk>/", groups.GroupPage.as_view(), name="organisation-group"),
    path("groups/<int:group_pk>/members/", groups.AddToGroup.as_view(), name="group-add"),
    path("groups/<int:group_pk>/members/<int:user_pk>/remove/", groups.RemoveFromGroup.as_view(), name="group-remove"),
    path("groups/<int:group_pk>/members/<int:user_pk>/admin/", groups.GroupAdmin.as_view(), name="group-admin"),
    path("groups/<int:group_pk>/delete/", groups.DeleteGroup.as_view(), name="group-delete"),
    *permission_urls(
        permissions.OrganisationPermissions,
        permissions.OrganisationUserPermissions,
        permissions.OrganisationGroupPermissions,
    ),
    path("keys/", api_keys.APIKeysPage.as_view(), name="organisation-keys"),
    path("keys/new/", api_keys.NewAPIKey.as_view(), name="organisation-key-create"),
    path("keys/<str:prefix>/revoke/", api_keys.RevokeAPIKey.as_view(), name="organisation-key-revoke"),
    *webhook_urls(
        webhooks.OrganisationWebhooks,
        webhooks.NewOrganisationWebhook,
        webhooks.OrganisationWebhookForm,
        webhooks.OrganisationWebhookTrial,
        webhooks.DeleteOrganisationWebhook,
    ),
]
