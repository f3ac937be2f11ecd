"""Everything that people see: templates, style, scripts, and what renders them."""
