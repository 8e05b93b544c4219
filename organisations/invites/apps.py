from django.apps import AppConfig


class InvitesConfig(AppConfig):
    name = "organisations.invites"
    label = "invites"
