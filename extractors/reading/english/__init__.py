"""Reads English statements: turns a message into normalised claims. Start at `messages.read`.

May import `extractors.reading` and the vocabulary.
Must never read a text in more than linear time.
"""
