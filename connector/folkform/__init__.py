"""The target: FolkForm's API, generation 1."""
