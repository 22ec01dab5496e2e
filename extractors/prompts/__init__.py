"""Versioned prompt files, and in `answers` the response model of each.

May import pydantic only.
Must never change the text of a version that was used: a changed prompt gets a new version.
"""
