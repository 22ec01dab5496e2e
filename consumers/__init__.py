"""The loops and the operators' jobs, and the `memory` command.

May import `extractors` and `memory`; nothing imports it.
Must never hold a rule about what is believed: that is `memory.beliefs`.
"""
