"""The store and the retrieval API: what apps import."""
