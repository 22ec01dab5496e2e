"""English statements: from a message to normalised claims. `read` in `reading` is the way in."""
