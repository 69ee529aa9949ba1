"""What a handler may use to read and write fields and contents: each file alone, none required, none imported here."""
