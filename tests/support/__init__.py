"""What the tests stand on: a loopback server and the wire formats of the providers."""
