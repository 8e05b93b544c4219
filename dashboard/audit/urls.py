from django.urls import path

from dashboard.audit import views

urlpatterns = [
    path("", views.AuditPage.as_view(), name="audit-log"),
    path("<int:entry_pk>/", views.EntryPage.as_view(), name="audit-entry"),
]
