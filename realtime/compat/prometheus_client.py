"""prometheus-client (tested: 0.26.0): the choice of a format by the request's header ``Accept``.

``prometheus_client.core`` is public, and so are the servers that answer a scrape. Only these use ``choose_encoder``,
which the view of Django needs too.
"""

from prometheus_client.exposition import choose_encoder as choose_encoder
