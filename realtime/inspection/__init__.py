"""What becomes of each event, kept for an hour in the app's own tables: who streams an environment, what was told.

``panel.py`` answers; everything else here fills the tables, behind the event loop's back.
"""
