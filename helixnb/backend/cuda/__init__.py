"""CUDA: kernels in `.cu` files, how they are launched, and the device that runs them.

Only `device` imports CuPy. `kernels` knows arrays and launches by their interface
alone, which lets the same code and the same sources be tested without a GPU.
"""
