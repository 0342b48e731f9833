"""The models of a checkpoint by name, as results have them."""

STUDENT, TEACHER = "student", "teacher"
MODEL = "model"
"""A network of others, which has neither student nor teacher."""
