"""Tables in and out of the registry: imports with a mapping and a row report, exports with a data dictionary."""
