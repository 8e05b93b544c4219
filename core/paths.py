"""What may stand in a path where an object is named. Anything else is no path of ours: 404, before any query."""

ID = "[0-9]{1,18}"

UUID = "[0-9a-fA-F-]{1,36}"

ENVIRONMENT_KEY = "[0-9A-Za-z_-]{1,100}"
