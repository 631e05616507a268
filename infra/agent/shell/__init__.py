"""What the agent does: executes operations with threads, sockets, processes and the spool."""
