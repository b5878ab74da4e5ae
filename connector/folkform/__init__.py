"""The target: FolkForm's API, in each of its generations."""
