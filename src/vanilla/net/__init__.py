"""Sockets and addresses: what a server listens on, opened so that every worker has a descriptor of its own."""
