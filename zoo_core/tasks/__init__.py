"""What each task asks for: a loss, figures, answers, words, a picture, the shape of its result."""
