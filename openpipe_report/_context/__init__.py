"""What surrounds a call: labels and spans, carried by context variables."""
