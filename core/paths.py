"""Regular expressions of the identifiers in URL paths. Other text gets 404 without a query."""

ID = "[0-9]{1,18}"

MAX_ID = 2**31 - 1
"""The largest primary key."""

UUID = "[0-9a-fA-F-]{1,36}"

ENVIRONMENT_KEY = "[0-9A-Za-z_-]{1,100}"
