"""The deploy kit: one folder with all that another device, language or browser needs to run the models."""
