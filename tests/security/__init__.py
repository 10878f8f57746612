"""What a stranger may try: hostile records, schemas, names and files, and where secrets show."""
