from django.urls import path

from dashboard.segments import check, editing, views

urlpatterns = [
    path("", views.SegmentsPage.as_view(), name="segments"),
    path("new/", editing.CreatePage.as_view(), name="segment-create"),
    path("<int:segment_pk>/", editing.EditPage.as_view(), name="segment"),
    path("<int:segment_pk>/delete/", views.DeletePage.as_view(), name="segment-delete"),
    path("<int:segment_pk>/check/", check.CheckPage.as_view(), name="segment-check"),
]
