"""What providers send: one module for each wire format, all with functions of the same names."""
