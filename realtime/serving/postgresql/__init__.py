"""A database backend for Django: `ENGINE = "realtime.serving.postgresql"`."""
