"""Inspector: a Django app that records who streams an environment and what was delivered, for about an hour.

``panel.py`` reads the tables. The other modules fill them, in a thread, so that the event loop does not wait.
"""
