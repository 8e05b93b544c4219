from django.urls import path

from dashboard.live import views

urlpatterns = [
    path("", views.LivePage.as_view(), name="live"),
    path("panel/", views.LivePanel.as_view(), name="live-panel"),
]
