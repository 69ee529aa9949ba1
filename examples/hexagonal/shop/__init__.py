"""A shop whose core knows no server and no database: adapters bring both."""
