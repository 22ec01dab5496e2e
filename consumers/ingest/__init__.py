"""From a topic into the log: every record applied once, in order, its position with its rows."""
