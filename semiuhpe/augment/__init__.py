"""Augmentation: views of heads and scenes, in-plane transforms and cut-occlusion, batched on the device."""
