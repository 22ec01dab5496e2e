"""English statements: from a message to normalised claims; `messages.read` is the way in.

May import `extractors.reading` and the vocabulary.
Must never read a text in more than linear time.
"""
