"""Reading and writing video: exact frames, true times, and a report of everything lost."""
