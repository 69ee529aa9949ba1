"""Nothing here is for others than response_cache.py, which is compiled likewise."""
