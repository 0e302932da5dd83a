"""One module for each subcommand, imported only when the command is called, and what they share."""
