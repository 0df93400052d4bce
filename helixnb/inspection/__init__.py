"""A state set against the data: single filaments, single images, layer lines.

`helixnb.results` labels what an iteration left behind. Here images are read again and
compared with the model, so calls take a fraction of a second and use a sample.
"""
