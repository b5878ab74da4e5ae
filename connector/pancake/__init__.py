"""The source: Pancake's API, read whole."""
