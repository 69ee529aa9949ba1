"""Of use_order.py, which is compiled: there is nothing in it for Python."""
