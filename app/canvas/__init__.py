"""The picture with poses, boxes and heatmap over it."""
