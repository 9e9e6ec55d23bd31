"""How Fashion-MNIST images are redrawn for a head that sees no photo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RedrawingRecipe:
    """How strongly images are changed. Angles in radians, lengths in half sides of the garment's box."""

    turn: float = 0.14
    far_turn: float = 0.05
    """Share turned by up to 0.3 more."""
    shear: float = 0.08
    aspect: float = 0.12
    warp: float = 0.05
    arms: float = 0.8
    """Share of pullovers, coats and shirts whose hanging sleeves are turned outwards."""
    lift: float = 0.3
    """Share of tops whose sleeves are spread."""
    lift_dresses: float = 0.4
    """Of that share, for dresses."""
    pairs: float = 0.6
    """Share of shoes that come in pairs."""
    above: float = 0.6
    """Share of pairs seen from above."""
    ragged: float = 0.35
    """Depth of the noise of the mask's edge, in units of the mask."""
    bites: float = 0.25
    holes: float = 0.15
    residue: float = 0.20
    """Share with a piece of ground taken for garment."""
    recoloured: float = 0.7
    """Share whose cloth is coloured anew; the others keep the dataset's tones."""
    negated: float = 0.4
    light: float = 0.8
    folds: float = 0.7
    texture: float = 0.25
    stripes: float = 0.12
    prints: float = 0.2
    blurred: float = 0.3
    noisy: float = 0.3
