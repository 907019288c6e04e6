"""The review desk on the page: projects, corrections, suggestions and the queue."""
