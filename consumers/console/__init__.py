"""The `memory` command line: parses, calls, and shows; what it calls lives elsewhere."""
