"""Measurements of one clip or two as a page to read and print."""
