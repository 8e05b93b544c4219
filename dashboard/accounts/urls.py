from typing import Any

from django.urls import path

from dashboard.pages import NotFoundPage

urlpatterns: list[Any] = [path("sign-in/", NotFoundPage.as_view(), name="sign-in")]
