"""Peers: servers that benchmarks measure in the same run, for comparison."""
