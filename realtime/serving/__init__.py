"""What a project needs to serve streams, beside the app: its database, its bus, its logs, its health."""
