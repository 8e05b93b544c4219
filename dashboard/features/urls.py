from django.urls import path

from dashboard.features import views

urlpatterns = [
    path("", views.FeaturesPage.as_view(), name="features"),
    path("<int:feature_pk>/toggle/", views.Toggle.as_view(), name="toggle"),
]
