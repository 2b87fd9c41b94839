"""The 2012 AlexNet, rebuilt from raw CUDA."""
