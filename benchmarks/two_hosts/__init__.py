"""Two hosts share one store; one is cut off with a batch in its hands, and returns.

`network` makes the hosts, `scene` is what happens to them, `extraction` and `ingestion` are what
they are at.
"""
