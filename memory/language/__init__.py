"""Reads text for the store: sentences, tokens, questions, and the turns of an episode.

May import the vocabulary only. All English rules of `memory` live here.
Must never read a text in more than linear time.
"""
