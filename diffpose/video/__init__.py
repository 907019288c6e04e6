"""Reading and writing video: exact frames, true times, and a word on everything lost."""
