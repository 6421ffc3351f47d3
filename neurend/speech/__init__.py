"""Speech: sound, its features, a recogniser of letters, and what networks of faces are given."""
