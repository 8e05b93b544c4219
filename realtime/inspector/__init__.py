"""Inspector: a Django app that keeps for an hour who streams an environment, and what was delivered.

``panel.py`` answers; everything else here fills the tables, behind the event loop's back.
"""
