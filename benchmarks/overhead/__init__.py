"""What watching costs: CPU time added to calls, chunks and tool calls, and to import, memory and scrapes."""
