"""The figures of docs/DESIGN.md, measured: ``python -m bench``. Nothing here asserts a time."""
