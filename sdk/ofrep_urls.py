from django.urls import path

from sdk import ofrep

urlpatterns = [
    path("evaluate/flags", ofrep.EvaluateAllView.as_view(), name="ofrep-flags"),
    path("evaluate/flags/<path:flag>", ofrep.EvaluateOneView.as_view(), name="ofrep-flag"),
]
