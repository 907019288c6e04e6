"""Training examples: sources of annotated pictures and clips, augmentation, batches."""
