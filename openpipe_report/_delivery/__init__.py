"""The way of a report to the server: queue, threads, retries, connections, accounting."""
