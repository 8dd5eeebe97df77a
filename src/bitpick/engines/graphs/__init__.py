"""What each runtime really executes when it opens a build: one runtime a file."""
