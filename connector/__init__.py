"""Pancake → Kafka → FolkForm, in order and without loss."""

__version__ = "0.1.0"
