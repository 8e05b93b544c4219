"""Raises versions and publishes events: synchronous, in the transaction of the change and after its commit."""
