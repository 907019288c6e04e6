"""Measure, compare and report: what the page shows of the numbers behind the poses."""
