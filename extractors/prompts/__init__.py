"""Prompts as versioned text files, and in `answers` the response models they go with."""
