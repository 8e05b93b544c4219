"""Paths below ``features/{feature_pk}/``: one feature in one environment."""

from django.urls import path

from dashboard.features import history, identity_overrides, segment_overrides, settings_tab, value_tab, variations

urlpatterns = [
    path("", value_tab.ValueTab.as_view(), name="feature"),
    path("overrides/new/", segment_overrides.NewOverrideForm.as_view(), name="override-create"),
    path("overrides/order/", segment_overrides.OrderOverrides.as_view(), name="override-order"),
    path("overrides/<int:segment_pk>/", segment_overrides.OverrideForm.as_view(), name="override"),
    path("overrides/<int:segment_pk>/toggle/", segment_overrides.ToggleOverride.as_view(), name="override-toggle"),
    path("overrides/<int:segment_pk>/delete/", segment_overrides.RemoveOverride.as_view(), name="override-delete"),
    path("identities/", identity_overrides.IdentitiesTab.as_view(), name="feature-identities"),
    path("identities/new/", identity_overrides.NewIdentityOverrideForm.as_view(), name="identity-override-create"),
    path("identities/<int:identity_pk>/", identity_overrides.IdentityOverrideForm.as_view(), name="identity-override"),
    path(
        "identities/<int:identity_pk>/toggle/",
        identity_overrides.ToggleIdentityOverride.as_view(),
        name="identity-override-toggle",
    ),
    path(
        "identities/<int:identity_pk>/delete/",
        identity_overrides.RemoveIdentityOverride.as_view(),
        name="identity-override-delete",
    ),
    path("variations/", variations.VariationsTab.as_view(), name="feature-variations"),
    path("variations/new/", variations.NewVariationForm.as_view(), name="variation-create"),
    path("variations/<int:option_pk>/", variations.VariationForm.as_view(), name="variation"),
    path("variations/<int:option_pk>/delete/", variations.RemoveVariation.as_view(), name="variation-delete"),
    path("settings/", settings_tab.SettingsTab.as_view(), name="feature-settings"),
    path("settings/owners/", settings_tab.ChangeOwners.as_view(), name="feature-owners"),
    path("history/", history.HistoryTab.as_view(), name="feature-history"),
    path("history/<int:entry_pk>/restore/", history.Restore.as_view(), name="feature-restore"),
]
