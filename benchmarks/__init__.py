"""Measurements of quality and speed through the product's own path; each prints JSON."""
