"""The process itself: tasks, threads, subprocesses, private files, shutdown."""
