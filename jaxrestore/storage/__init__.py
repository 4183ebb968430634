"""Files that appear whole or not at all, and weights on disk."""
