"""Labels of heads on their way out of stores and back: decisions about them, and files of programs for labeling."""
