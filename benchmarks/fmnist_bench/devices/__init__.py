"""The device matrix (`make devices`): the shipped models on real runtimes and CPUs; it needs a checkout."""
