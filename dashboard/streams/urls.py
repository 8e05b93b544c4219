from django.urls import path

from dashboard.streams import views

urlpatterns = [
    path("", views.InspectorPage.as_view(), name="inspector"),
    path("panel/", views.InspectorPanel.as_view(), name="inspector-panel"),
]
