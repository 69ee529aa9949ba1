"""The PROXY protocol: who is behind a load balancer, said before a connection's own bytes. No sockets."""
