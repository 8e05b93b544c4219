#!/usr/bin/env python
"""Django's command line, with the development settings by default."""

import os
import sys

from realtime.serving import command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.dev")
    command_line.execute("manage.py", sys.argv)
