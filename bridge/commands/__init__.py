"""The command line: ``micropub-bridge`` and its subcommands."""
