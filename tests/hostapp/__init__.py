"""A host project with its own models, which uses only ``realtime`` of this product."""
