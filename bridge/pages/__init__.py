"""Everything that people see: templates, styles, scripts, and the code that renders them."""
