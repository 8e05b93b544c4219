"""Figures for Prometheus, and whether the process gets on."""
