"""After the operation: rehabilitation, questionnaires and tests, and the course against what was expected."""
