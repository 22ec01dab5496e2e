"""Which extractors made which memories, which generation serves whom, and its quality.

May import `runtime`, the extractors' protocol and `memory`.
Must never delete the memories of a generation that serves anybody.
"""
