"""`procedures`: ways of doing things, found in sequences of tool calls that succeeded.

May import the protocol, `memory.language` and the vocabulary.
Must never make a procedure of one run.
"""
