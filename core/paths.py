"""How objects are named.

The patterns say what may stand in a path; anything else is no path of ours: 404, before any query.
"""

ID = "[0-9]{1,18}"

MAX_ID = 2**31 - 1
"""The largest primary key that there can be."""

UUID = "[0-9a-fA-F-]{1,36}"

ENVIRONMENT_KEY = "[0-9A-Za-z_-]{1,100}"
