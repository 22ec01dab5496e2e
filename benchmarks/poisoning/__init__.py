"""Attacks on the store and their benign twins: how much is believed, shown, and kept.

The corpus and its format are in `tests/poisoning/`.
"""
