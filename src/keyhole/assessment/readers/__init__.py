"""What readers say: imported grades, two readers compared, tables for statistics."""
