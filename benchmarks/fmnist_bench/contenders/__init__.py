"""What is measured against what: each way to run the network, opened in the same form."""
