"""Labelled data for training students: molecules, structures, and energies and forces of a teacher."""
