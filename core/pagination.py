"""Pagination of the Admin API: Flagsmith's page sizes, because scripts rely on one page that holds everything."""

from rest_framework.pagination import PageNumberPagination

PAGE_SIZE = 999


class FixedPages(PageNumberPagination):
    """Pages of 999; ``page_size`` in the query is ignored."""

    page_size = PAGE_SIZE


class LargePages(PageNumberPagination):
    """Pages of 999, or of a smaller ``page_size`` in the query."""

    page_size = PAGE_SIZE
    max_page_size = PAGE_SIZE
    page_size_query_param = "page_size"
