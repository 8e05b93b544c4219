"""Flagsmith's three kinds of lists. A wrong choice breaks clients silently: they read the first page and stop."""

from rest_framework.pagination import PageNumberPagination


class FixedPages(PageNumberPagination):
    """Pages of 10, whatever ``page_size`` asks for."""

    page_size = 10


class LargePages(PageNumberPagination):
    """Pages of 999, or of the smaller ``page_size`` that is asked for."""

    page_size = 999
    max_page_size = 999
    page_size_query_param = "page_size"
