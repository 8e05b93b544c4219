"""Paths below an environment: its identities, and the explanation of flags."""

from django.urls import path

from dashboard.identities import identity, listing, why

urlpatterns = [
    path("why/", why.WhyPage.as_view(), name="why"),
    path("identities/", listing.IdentitiesPage.as_view(), name="identities"),
    path("identities/new/", listing.NewIdentity.as_view(), name="identity-create"),
    path("identities/<int:identity_pk>/", identity.IdentityPage.as_view(), name="identity"),
    path("identities/<int:identity_pk>/delete/", identity.DeleteIdentity.as_view(), name="identity-delete"),
    path("identities/<int:identity_pk>/traits/", identity.NewTrait.as_view(), name="trait-create"),
    path("identities/<int:identity_pk>/traits/<int:trait_pk>/", identity.TraitForm.as_view(), name="trait"),
    path(
        "identities/<int:identity_pk>/traits/<int:trait_pk>/delete/",
        identity.DeleteTrait.as_view(),
        name="trait-delete",
    ),
]
