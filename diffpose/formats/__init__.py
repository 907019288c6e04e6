"""Poses in files: one module per format, reading and writing side by side.

Every writer takes the pose sequences and the `VideoInfo` they belong to, writes under a temporary
name and renames at the end, so that a failed write leaves the file of yesterday untouched.
"""
