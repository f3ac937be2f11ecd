"""Everything that people see."""
