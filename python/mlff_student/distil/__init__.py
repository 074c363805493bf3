"""Labelled data to train students on: structures with energies and forces of a teacher."""
