"""Calls to both APIs: the only package that imports httpx and tenacity."""
