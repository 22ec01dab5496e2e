"""The log: interactions, appended once and never changed, and the sessions they belong to.

May import `database` and the vocabulary.
Must never accept an interaction that did not pass `envelope`, and never change one.
"""
