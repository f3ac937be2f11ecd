"""The process: tasks, threads, subprocesses, private files, shutdown."""
