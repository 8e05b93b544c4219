"""Contracts of the libraries' parts that ``realtime/compat/`` uses: a failed test names the part that has changed."""
