"""`behaviour`: infers preferences from what users accept, reject and choose.

May import the protocol and the vocabulary.
Must never believe a preference before its test has enough evidence; see `e_values`.
"""
