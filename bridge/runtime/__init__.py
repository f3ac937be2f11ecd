"""The process itself: tasks, threads, other programs, private files, and how it ends."""
