"""One call, seen from outside: its request, its answer, and the stream that is read."""
