"""The worker: claims ready sessions and drives them."""
