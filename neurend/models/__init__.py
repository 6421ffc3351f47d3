"""Methods: representation, renderer, network and loss made into one trainable bundle each."""
