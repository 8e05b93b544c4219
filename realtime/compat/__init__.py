"""Everything that depends on private or undocumented parts of libraries: one module per library.

Each module lists the parts that it uses and the tested versions. ``tests/compat/`` has a test per part, and
``scripts/test --latest`` runs them with the newest versions. All other modules use public APIs and this package.
"""
