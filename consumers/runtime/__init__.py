"""Serves every loop: tenants and users page by page, wake-ups, task groups.

May import `memory` only.
Must never know what the loop does.
"""
