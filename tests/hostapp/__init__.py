"""A stand-in host: a project with models of its own that uses ``realtime`` and nothing else of this product."""
