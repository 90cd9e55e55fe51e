"""Models: Checkpoint encodes, colbert_score compares."""
