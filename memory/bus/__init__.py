"""Carries interactions to the log: the `Bus` protocol, with Postgres and Kafka behind it.

May import `log`, `database` and what lies below them.
Must never acknowledge an interaction that is not durable.
"""
