from django.urls import path, register_converter
from django.urls.converters import PathConverter

from sdk import ofrep


class FlagConverter(PathConverter):
    """The name of a flag: any text. Django's own converters do not match line breaks."""

    regex = r"[\s\S]+"


register_converter(FlagConverter, "flag")

urlpatterns = [
    path("evaluate/flags", ofrep.EvaluateAllView.as_view(), name="ofrep-flags"),
    path("evaluate/flags/<flag:flag>", ofrep.EvaluateOneView.as_view(), name="ofrep-flag"),
]
