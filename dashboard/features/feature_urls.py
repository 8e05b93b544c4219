"""Paths below ``features/{feature_pk}/``: one feature in one environment."""

from django.urls import path

from dashboard.features import feature, identity_overrides, overrides, properties, variations

urlpatterns = [
    path("", feature.FeatureView.as_view(), name="feature"),
    path("overrides/new/", overrides.NewOverrideView.as_view(), name="override-create"),
    path("overrides/order/", overrides.OrderOverrides.as_view(), name="override-order"),
    path("overrides/<int:segment_pk>/", overrides.OverrideView.as_view(), name="override"),
    path("overrides/<int:segment_pk>/toggle/", overrides.ToggleOverride.as_view(), name="override-toggle"),
    path("overrides/<int:segment_pk>/delete/", overrides.RemoveOverride.as_view(), name="override-delete"),
    path("identities/", identity_overrides.IdentitiesView.as_view(), name="feature-identities"),
    path("identities/new/", identity_overrides.NewIdentityView.as_view(), name="identity-override-create"),
    path("identities/<int:identity_pk>/", identity_overrides.IdentityView.as_view(), name="identity-override"),
    path(
        "identities/<int:identity_pk>/toggle/",
        identity_overrides.ToggleIdentity.as_view(),
        name="identity-override-toggle",
    ),
    path(
        "identities/<int:identity_pk>/delete/",
        identity_overrides.RemoveIdentity.as_view(),
        name="identity-override-delete",
    ),
    path("variations/", variations.VariationsView.as_view(), name="feature-variations"),
    path("variations/new/", variations.NewVariationView.as_view(), name="variation-create"),
    path("variations/<int:option_pk>/", variations.VariationView.as_view(), name="variation"),
    path("variations/<int:option_pk>/delete/", variations.RemoveVariation.as_view(), name="variation-delete"),
    path("settings/", properties.FeatureSettingsView.as_view(), name="feature-settings"),
    path("settings/owners/", properties.FeatureOwnersView.as_view(), name="feature-owners"),
]
