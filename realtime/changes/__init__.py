"""From a changed row to a published event: synchronous, in the transaction of the change and at its commit."""
