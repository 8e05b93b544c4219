from django.urls import path, re_path

from core import paths
from features.import_export import views

PROJECT = rf"^projects/(?P<project_pk>{paths.ID})/"

urlpatterns = [
    path("features/create-feature-export/", views.CreateExportView.as_view()),
    re_path(rf"^features/download-feature-export/(?P<export_pk>{paths.ID})/$", views.DownloadExportView.as_view()),
    # Without a slash at the end, as in Flagsmith.
    re_path(rf"^features/feature-import/(?P<environment_pk>{paths.ID})$", views.ImportView.as_view()),
    re_path(rf"{PROJECT}feature-exports/$", views.ExportsView.as_view()),
    re_path(rf"{PROJECT}feature-imports/$", views.ImportsView.as_view()),
]
