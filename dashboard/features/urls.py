from django.urls import include, path

from dashboard.features import bulk, creation, views

urlpatterns = [
    path("", views.FeaturesPage.as_view(), name="features"),
    path("many/", bulk.ChangeMany.as_view(), name="features-many"),
    path("new/", creation.CreatePage.as_view(), name="feature-create"),
    path("<int:feature_pk>/toggle/", views.Toggle.as_view(), name="toggle"),
    path("<int:feature_pk>/archive/", views.Archive.as_view(), name="feature-archive"),
    path("<int:feature_pk>/delete/", views.Delete.as_view(), name="feature-delete"),
    path("<int:feature_pk>/", include("dashboard.features.feature_urls")),
]
