"""Paths of the permissions in an organisation, a project or an environment, below its ``settings/``."""

from django.urls import URLPattern, path

from dashboard.permissions.pages import HolderMixin, PermissionsMixin


def permission_urls(
    listing: type[PermissionsMixin], of_user: type[HolderMixin], of_group: type[HolderMixin]
) -> list[URLPattern]:
    kind = listing.kind
    return [
        path("permissions/", listing.as_view(), name=f"{kind}-permissions"),
        path("permissions/users/<int:user_pk>/", of_user.as_view(), name=f"{kind}-user-permissions"),
        path("permissions/groups/<int:group_pk>/", of_group.as_view(), name=f"{kind}-group-permissions"),
    ]
