"""Does anything get out of the workspace folder? Hostile paths, and a racing process."""
