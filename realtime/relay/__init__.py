"""The relay: answers SDKs from environment documents in memory, in front of any Flagsmith, and streams (docs/relay.md).

It takes the place of Flagsmith's Edge Proxy and has its configuration. For keys that it does not hold a document of, it
is a drop-in server.
"""
