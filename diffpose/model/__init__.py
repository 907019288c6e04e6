"""The network: backbone, STRL, Pose-Decoder with LMSFI, and their weights."""
