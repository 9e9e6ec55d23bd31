"""Pictures of data, answers and models. The only modules of the runtime that need matplotlib: the extra [plot]."""
