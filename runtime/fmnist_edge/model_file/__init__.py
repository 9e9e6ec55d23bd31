"""What a model file is and does: contract, session, facts, self-test."""
