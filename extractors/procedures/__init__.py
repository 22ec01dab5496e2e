"""`procedures`: finds recurring ways of doing things in sequences of successful tool calls.

May import the protocol, `memory.language` and the vocabulary.
Must never make a procedure of one run.
"""
