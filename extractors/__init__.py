"""Interactions in, candidates out: the step that infers memories. No storage, no loops here."""
