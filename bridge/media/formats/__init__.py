"""What an upload is, and what is taken out of it. Runs in a process of its own."""
