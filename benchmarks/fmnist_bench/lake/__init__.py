"""What classifying a lake of images costs, on Ray and without."""
