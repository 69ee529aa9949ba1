"""Of seen_heads.py, which is compiled: there is nothing in it for Python."""
