from django.urls import path

from dashboard.usage.views import UsagePage

urlpatterns = [path("", UsagePage.as_view(), name="usage")]
