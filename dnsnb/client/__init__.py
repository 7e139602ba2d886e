"""The client's side of HTTP: commands, the one event stream, and the live frame that it fills."""
